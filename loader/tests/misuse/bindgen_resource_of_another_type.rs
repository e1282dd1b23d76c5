cwasm::bindgen!({
    inline: "
        package a:b;
        interface files {
            resource file { constructor(name: string); len: func() -> u32; }
            record named { name: string, file: file }
        }
        world w { import files; }
    ",
});

use a::b::files;
use cwasm::Resource;

struct Host;
struct Other;

impl files::HostFile for Host {
    fn new(&mut self, _: String) -> Resource<Other> {
        Resource::new_own(1)
    }

    fn len(&mut self, self_: Resource<files::File>) -> u32 {
        self_.rep()
    }

    fn drop(&mut self, _: Resource<files::File>) -> cwasm::Result<()> {
        Ok(())
    }
}

fn main() {}
