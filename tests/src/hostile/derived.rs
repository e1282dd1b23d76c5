//! Types that derive the traits of typed calls, with what the reference has for each.

use cwasm::{ComponentType, Lift, Lower, flags};

use super::typed::{Native, mismatch, ty};
use crate::reference::{Type, Value};

macro_rules! records {
    ($($(#[$attribute:meta])* $name:ident$(<$T:ident>)? { $($field:ident: $rust:ty),* })*) => {$(
        #[derive(ComponentType, Lower, Lift, Clone)]
        $(#[$attribute])*
        pub(crate) struct $name$(<$T>)? {
            $($field: $rust,)*
        }

        impl$(<$T: Native>)? Native for $name$(<$T>)? {
            fn ty() -> Option<Type> {
                Some(Type::Record(vec![$(ty::<$rust>()),*]))
            }
            fn of(value: &Value) -> Self {
                let Value::Record(fields) = value else { mismatch(value) };
                let mut fields = fields.iter();
                $(let $field = <$rust>::of(fields.next().expect("as many fields"));)*
                $name { $($field),* }
            }
            fn value(&self) -> Value {
                Value::Record(vec![$(self.$field.value()),*])
            }
        }
    )*};
}

records! {
    Pair<T> { f0: u8, f1: T }
    Mixed { f0: u8, f1: String, f2: u16, f3: Option<u64>, f4: bool }
    // In Rust as in memory: lists of them are copied whole.
    #[derive(Copy)] #[repr(C)] Pixel { f0: u32, f1: u16, f2: u16 }
    #[derive(Copy)] #[repr(C)] Padded { f0: u8, f1: u32 }
    #[derive(Copy)] #[repr(C)] Nested { f0: Pixel, f1: [u64; 2], f2: f32, f3: i32 }
}

macro_rules! variants {
    ($($name:ident$(<$T:ident>)? { $($case:ident$(($x:ident: $rust:ty))?),* $(,)? })*) => {$(
        #[derive(ComponentType, Lower, Lift, Clone)]
        #[component(variant)]
        pub(crate) enum $name$(<$T>)? {
            $($case$(($rust))?,)*
        }

        impl$(<$T: Native>)? Native for $name$(<$T>)? {
            fn ty() -> Option<Type> {
                Some(Type::Variant(vec![$(None$(.or(Some(ty::<$rust>())))?),*]))
            }
            fn of(value: &Value) -> Self {
                let Value::Case(case, _payload) = value else { mismatch(value) };
                let mut number = 0..;
                $(if number.next() == Some(*case) {
                    return $name::$case$((<$rust>::of(_payload.as_ref().expect("a payload"))))?;
                })*
                mismatch(value)
            }
            fn value(&self) -> Value {
                let mut number = 0..;
                $({
                    let case = number.next().expect("the numbers do not end");
                    if let $name::$case$(($x))? = self {
                        return Value::Case(case, None$(.or(Some(Box::new($x.value()))))?);
                    }
                })*
                unreachable!("all cases are there")
            }
        }
    )*};
}

variants! {
    Choice<T> { C0, C1(x: T), C2(x: u64) }
    Three { C0, C1(x: u8), C2 }
    Floats { C0(x: f32), C1(x: f64), C2(x: String), C3 }
    Wide {
        C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17, C18, C19,
        C20, C21, C22, C23, C24, C25, C26, C27, C28, C29, C30, C31, C32, C33, C34, C35, C36, C37,
        C38, C39, C40, C41, C42, C43, C44, C45, C46, C47, C48, C49, C50, C51, C52, C53, C54, C55,
        C56, C57, C58, C59, C60, C61, C62, C63, C64, C65, C66, C67, C68, C69, C70, C71, C72, C73,
        C74, C75, C76, C77, C78, C79, C80, C81, C82, C83, C84, C85, C86, C87, C88, C89, C90, C91,
        C92, C93, C94, C95, C96, C97, C98, C99, C100, C101, C102, C103, C104, C105, C106, C107,
        C108, C109, C110, C111, C112, C113, C114, C115, C116, C117, C118, C119, C120, C121, C122,
        C123, C124, C125, C126, C127, C128, C129, C130, C131, C132, C133, C134, C135, C136, C137,
        C138, C139, C140, C141, C142, C143, C144, C145, C146, C147, C148, C149, C150, C151, C152,
        C153, C154, C155, C156, C157, C158, C159, C160, C161, C162, C163, C164, C165, C166, C167,
        C168, C169, C170, C171, C172, C173, C174, C175, C176, C177, C178, C179, C180, C181, C182,
        C183, C184, C185, C186, C187, C188, C189, C190, C191, C192, C193, C194, C195, C196, C197,
        C198, C199, C200, C201, C202, C203, C204, C205, C206, C207, C208, C209, C210, C211, C212,
        C213, C214, C215, C216, C217, C218, C219, C220, C221, C222, C223, C224, C225, C226, C227,
        C228, C229, C230, C231, C232, C233, C234, C235, C236, C237, C238, C239, C240, C241, C242,
        C243, C244, C245, C246, C247, C248, C249, C250, C251, C252, C253, C254, C255(x: String),
        C256(x: u8),
    }
}

macro_rules! enums {
    ($($name:ident { $($case:ident),* $(,)? })*) => {$(
        #[derive(ComponentType, Lower, Lift, Clone, Copy)]
        pub(crate) enum $name {
            $($case,)*
        }

        impl Native for $name {
            fn ty() -> Option<Type> {
                Some(Type::Enum([$($name::$case),*].len()))
            }
            fn of(value: &Value) -> Self {
                match value {
                    Value::Case(case, None) => [$($name::$case),*][*case],
                    value => mismatch(value),
                }
            }
            fn value(&self) -> Value {
                Value::Case(*self as usize, None)
            }
        }
    )*};
}

enums! {
    Enum3 { C0, C1, C2 }
    Enum257 {
        C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17, C18, C19,
        C20, C21, C22, C23, C24, C25, C26, C27, C28, C29, C30, C31, C32, C33, C34, C35, C36, C37,
        C38, C39, C40, C41, C42, C43, C44, C45, C46, C47, C48, C49, C50, C51, C52, C53, C54, C55,
        C56, C57, C58, C59, C60, C61, C62, C63, C64, C65, C66, C67, C68, C69, C70, C71, C72, C73,
        C74, C75, C76, C77, C78, C79, C80, C81, C82, C83, C84, C85, C86, C87, C88, C89, C90, C91,
        C92, C93, C94, C95, C96, C97, C98, C99, C100, C101, C102, C103, C104, C105, C106, C107,
        C108, C109, C110, C111, C112, C113, C114, C115, C116, C117, C118, C119, C120, C121, C122,
        C123, C124, C125, C126, C127, C128, C129, C130, C131, C132, C133, C134, C135, C136, C137,
        C138, C139, C140, C141, C142, C143, C144, C145, C146, C147, C148, C149, C150, C151, C152,
        C153, C154, C155, C156, C157, C158, C159, C160, C161, C162, C163, C164, C165, C166, C167,
        C168, C169, C170, C171, C172, C173, C174, C175, C176, C177, C178, C179, C180, C181, C182,
        C183, C184, C185, C186, C187, C188, C189, C190, C191, C192, C193, C194, C195, C196, C197,
        C198, C199, C200, C201, C202, C203, C204, C205, C206, C207, C208, C209, C210, C211, C212,
        C213, C214, C215, C216, C217, C218, C219, C220, C221, C222, C223, C224, C225, C226, C227,
        C228, C229, C230, C231, C232, C233, C234, C235, C236, C237, C238, C239, C240, C241, C242,
        C243, C244, C245, C246, C247, C248, C249, C250, C251, C252, C253, C254, C255, C256,
    }
}

macro_rules! flags_of {
    ($($name:ident { $($flag:ident)* })*) => {$(
        flags! {
            pub(crate) $name { $(const $flag;)* }
        }

        impl Native for $name {
            fn ty() -> Option<Type> {
                Some(Type::Flags([$($name::$flag),*].len()))
            }
            fn of(value: &Value) -> Self {
                match value {
                    Value::Flags(bits) => $name::from_bits_truncate(*bits),
                    value => mismatch(value),
                }
            }
            fn value(&self) -> Value {
                Value::Flags(self.bits())
            }
        }
    )*};
}

flags_of! {
    Flags3 { N0 N1 N2 }
    Flags8 { N0 N1 N2 N3 N4 N5 N6 N7 }
    Flags9 { N0 N1 N2 N3 N4 N5 N6 N7 N8 }
    Flags17 { N0 N1 N2 N3 N4 N5 N6 N7 N8 N9 N10 N11 N12 N13 N14 N15 N16 }
    Flags32 {
        N0 N1 N2 N3 N4 N5 N6 N7 N8 N9 N10 N11 N12 N13 N14 N15 N16 N17 N18 N19 N20 N21 N22 N23 N24 N25
    N26 N27 N28 N29 N30 N31
    }
}
