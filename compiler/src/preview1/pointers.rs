//! What the pointers among the parameters of preview 1's functions refer to.

/// What the pointers among a function's parameters refer to.
pub(super) enum Shim {
    /// Areas of memory.
    Areas(&'static [Area]),
    /// A vector of buffers, of which parameter 1 is the address and 2 the number, and areas. The
    /// first buffer that is not empty is used.
    Vector { out: bool, areas: &'static [Area] },
    /// Parameter 0 is the address of pointers to strings, 1 that of the strings. The function with
    /// this name says how many.
    Strings { sizes: &'static str },
}

/// An area of memory that a function reads, and may write.
#[derive(Clone, Copy)]
pub(super) struct Area {
    /// The parameter, or other local variable, with the address.
    pub(super) pointer: u32,
    pub(super) len: Len,
    /// Whether it is copied back.
    pub(super) out: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Len {
    Bytes(i32),
    /// The value of a local variable, times a size.
    Times(u32, i32),
}

const fn out(pointer: u32, bytes: i32) -> Area {
    Area {
        pointer,
        len: Len::Bytes(bytes),
        out: true,
    }
}

/// The next parameter is the number of bytes.
const fn text(pointer: u32) -> Area {
    Area {
        pointer,
        len: Len::Times(pointer + 1, 1),
        out: false,
    }
}

/// As [`text`], written by the function.
const fn buffer(pointer: u32) -> Area {
    Area {
        out: true,
        ..text(pointer)
    }
}

/// So many items of this size as the parameter `count` says.
const fn items(pointer: u32, count: u32, size: i32, out: bool) -> Area {
    Area {
        pointer,
        len: Len::Times(count, size),
        out,
    }
}

impl Shim {
    /// What the pointers of the function with this name refer to; `None` if it has none.
    pub(super) fn of(name: &str) -> Option<Shim> {
        use Shim::{Areas, Strings, Vector};
        Some(match name {
            "args_sizes_get" | "environ_sizes_get" => Areas(const { &[out(0, 4), out(1, 4)] }),
            "args_get" => Strings {
                sizes: "args_sizes_get",
            },
            "environ_get" => Strings {
                sizes: "environ_sizes_get",
            },
            "clock_res_get" | "fd_tell" | "fd_prestat_get" => Areas(const { &[out(1, 8)] }),
            "clock_time_get" => Areas(const { &[out(2, 8)] }),
            "fd_fdstat_get" => Areas(const { &[out(1, 24)] }),
            "fd_filestat_get" => Areas(const { &[out(1, 64)] }),
            "fd_prestat_dir_name" => Areas(const { &[buffer(1)] }),
            "fd_readdir" => Areas(const { &[buffer(1), out(4, 4)] }),
            "fd_seek" => Areas(const { &[out(3, 8)] }),
            "path_create_directory" | "path_remove_directory" | "path_unlink_file" => {
                Areas(const { &[text(1)] })
            }
            "path_filestat_get" => Areas(const { &[text(2), out(4, 64)] }),
            "path_filestat_set_times" => Areas(const { &[text(2)] }),
            "path_link" => Areas(const { &[text(2), text(5)] }),
            "path_open" => Areas(const { &[text(2), out(8, 4)] }),
            "path_readlink" => Areas(const { &[text(1), buffer(3), out(5, 4)] }),
            "path_rename" => Areas(const { &[text(1), text(4)] }),
            "path_symlink" => Areas(const { &[text(0), text(3)] }),
            "poll_oneoff" => {
                Areas(const { &[items(0, 2, 48, false), items(1, 2, 32, true), out(3, 4)] })
            }
            "random_get" => Areas(const { &[buffer(0)] }),
            "sock_accept" => Areas(const { &[out(2, 4)] }),
            "fd_read" => Vector {
                out: true,
                areas: const { &[out(3, 4)] },
            },
            "fd_pread" => Vector {
                out: true,
                areas: const { &[out(4, 4)] },
            },
            "sock_recv" => Vector {
                out: true,
                areas: const { &[out(4, 4), out(5, 2)] },
            },
            "fd_write" => Vector {
                out: false,
                areas: const { &[out(3, 4)] },
            },
            "fd_pwrite" | "sock_send" => Vector {
                out: false,
                areas: const { &[out(4, 4)] },
            },
            _ => return None,
        })
    }

    /// Whether a function with these parameters can have this shim: pointers and lengths are `i32`.
    pub(super) fn fits(&self, params: &[wasmparser::ValType]) -> bool {
        let is_i32 = |param: u32| params.get(param as usize) == Some(&wasmparser::ValType::I32);
        let all = |areas: &[Area]| {
            areas.iter().all(|area| {
                is_i32(area.pointer) && !matches!(area.len, Len::Times(by, _) if !is_i32(by))
            })
        };
        match self {
            Shim::Areas(areas) => all(areas),
            Shim::Vector { areas, .. } => all(areas) && is_i32(1) && is_i32(2),
            Shim::Strings { .. } => is_i32(0) && is_i32(1),
        }
    }
}
