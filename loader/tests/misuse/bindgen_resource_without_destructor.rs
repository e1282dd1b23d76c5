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

impl files::HostFile for Host {
    fn new(&mut self, _: String) -> Resource<files::File> {
        Resource::new_own(1)
    }

    fn len(&mut self, self_: Resource<files::File>) -> u32 {
        self_.rep()
    }
}

fn main() {}
