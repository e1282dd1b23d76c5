cwasm::flags! {
    Many {
        const A0; const A1; const A2; const A3; const A4; const A5; const A6; const A7;
        const B0; const B1; const B2; const B3; const B4; const B5; const B6; const B7;
        const C0; const C1; const C2; const C3; const C4; const C5; const C6; const C7;
        const D0; const D1; const D2; const D3; const D4; const D5; const D6; const D7;
        const E0;
    }
}

fn main() {}
