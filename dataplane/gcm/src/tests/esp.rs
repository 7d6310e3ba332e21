//! AES-GCM as ESP uses it (RFC 4106): test cases of draft-mcgrew-gcm-test-01, section 4, all with extended sequence numbers.

use hex_literal::hex;

use super::{Job, Kernel, Key};
use crate::{Aad, Nonce, TAG_BYTES, Verdict};

struct Case {
    key: &'static [u8],
    salt: [u8; 4],
    spi: [u8; 4],
    sequence: u64,
    iv: [u8; 8],
    plaintext: &'static [u8],
    sealed: &'static [u8],
}

#[test]
fn esp_cases_seal_and_open_as_published() {
    for kernel in Kernel::available() {
        for (number, case) in CASES.iter().enumerate() {
            let key = Key::new(kernel, case.key).expect("key length");
            let (nonce, aad) = (Nonce::new(case.salt, case.iv), Aad::esp_extended(case.spi, case.sequence));
            let mut data = [case.plaintext, &[0; TAG_BYTES]].concat();
            kernel.seal(&mut [Job::new(&key, nonce, aad, &mut data).expect("room for the tag")]);
            assert_eq!(data, case.sealed, "{} {number}", kernel.name());
            let mut jobs = [Job::new(&key, nonce, aad, &mut data).expect("room for the tag")];
            kernel.open(&mut jobs);
            assert_eq!(jobs[0].verdict(), Verdict::Authentic);
            assert!(data.starts_with(case.plaintext));
        }
    }
}

#[test]
fn parts_of_esp_stand_where_rfc_4106_has_them() {
    let spi = [1, 2, 3, 4];
    assert_eq!(Aad::esp(spi, 0x0506_0708), Aad::new(&[1, 2, 3, 4, 5, 6, 7, 8]));
    let extended = Aad::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(Aad::esp_extended(spi, 0x0506_0708_090a_0b0c), extended);
    assert_eq!(Nonce::new(spi, [5, 6, 7, 8, 9, 10, 11, 12]), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].into());
}

const CASES: &[Case] = &[
    Case {
        key: &hex!("4c80cdefbb5d10da906ac73c3613a634"),
        salt: hex!("2e443b68"),
        spi: hex!("00004321"),
        sequence: 0x8765432100000000,
        iv: hex!("4956ed7e3b244cfe"),
        plaintext: &hex!(
            "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f7369"
            "70045f756470037369700963796265726369747902646b000021000101020201"
        ),
        sealed: &hex!(
            "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf"
            "65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe72"
            "2fd04796562dfdb4"
        ),
    },
    Case {
        key: &hex!("3de09874b388e6491988d0c3607eae1f"),
        salt: hex!("57690e43"),
        spi: hex!("42f67e3f"),
        sequence: 0x1010101010101010,
        iv: hex!("4e280000a2fca1a3"),
        plaintext: &hex!(
            "4500003c99c300008001cb7c40679318010101010800085c020043006162636465666768696a6b6c"
            "6d6e6f707172737475767761626364656667686901020201"
        ),
        sealed: &hex!(
            "fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d1138ec9c35791765acbd8701ad7984"
            "5bf9fe3fba487bc91755e6662b4c8d0d1f5e22739530320ae0d731cc978ecafaeae88f00e80d6e48"
        ),
    },
    Case {
        key: &hex!("3de09874b388e6491988d0c3607eae1f"),
        salt: hex!("57690e43"),
        spi: hex!("42f67e3f"),
        sequence: 0x1010101010101010,
        iv: hex!("4e280000a2fca1a3"),
        plaintext: &hex!("4500001c42a200008001441f406793b6e00000020a00f5ff01020201"),
        sealed: &hex!(
            "fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed369f071f35e034be95f112e4"
            "e7d05d35"
        ),
    },
    Case {
        key: &hex!("abbccddef00112233445566778899aab"),
        salt: hex!("decaf888"),
        spi: hex!("00000100"),
        sequence: 0x0000000000000001,
        iv: hex!("cafedebaceface74"),
        plaintext: &hex!(
            "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e20001e8c18"
            "d75b81dc91baa0476b91b924b280389d92c963bac046ec959b6266c04722b14923010101"
        ),
        sealed: &hex!(
            "18a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d95412e1c349c1d2fbec168f9190feebaf2cb019"
            "84e65863965d7472b79da345e0e780191f0d2f0e0f496c226f2127b27db35724e7845d68651f57e6"
            "5f354f75ff17015769623436"
        ),
    },
    Case {
        key: &hex!("3de09874b388e6491988d0c3607eae1f"),
        salt: hex!("57690e43"),
        spi: hex!("42f67e3f"),
        sequence: 0x1010101010101010,
        iv: hex!("4e280000a2fca1a3"),
        plaintext: &hex!(
            "45000049333e00007f119182c3fb1d10c2b1d326c02831ce0035cb458003025b000001e0001e8c18"
            "d65759d52284a0352c71475c8880391c764d6e5ee0496b325ae270c03899493915010101"
        ),
        sealed: &hex!(
            "fba2cad12fc1f9f00d3cebf305410db83d7784b607323d220f24b0a97d54182800cadb0f68d99ef0"
            "e0c0c89ae9bea8884e52d65bc1afd0740f742444747b5b39ab533163aad4550ee5160975cdb608c5"
            "769189609763b8e18caa81e2"
        ),
    },
    Case {
        key: &hex!("abbccddef00112233445566778899aababbccddef00112233445566778899aab"),
        salt: hex!("73616c74"),
        spi: hex!("17405e67"),
        sequence: 0x156f3126dd0db99b,
        iv: hex!("616e640169766563"),
        plaintext: &hex!("45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001"),
        sealed: &hex!(
            "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e"
            "451626c2415771e3b7eebca614c89b35"
        ),
    },
    Case {
        key: &hex!("abbccddef00112233445566778899aababbccddef00112233445566778899aab"),
        salt: hex!("73616c74"),
        spi: hex!("17405e67"),
        sequence: 0x156f3126dd0db99b,
        iv: hex!("616e640169766563"),
        plaintext: &hex!(
            "636973636f0172756c657301746865016e6574776501646566696e6501746865746563686e6f6c6f"
            "67696573017468617477696c6c01646566696e65746f6d6f72726f7701020201"
        ),
        sealed: &hex!(
            "d4b7ed86a1777f2ea13d6973d324c69e7b43f826fb56831226508bebd2dceb18d0a6df10e5487df0"
            "74113e14c641024e3e6773d91a62ee429b043a10e3efe6b012a49363412364f8c0cac587f249e56b"
            "11e24f30e44ccc76"
        ),
    },
    Case {
        key: &hex!("6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961"),
        salt: hex!("7475726e"),
        spi: hex!("796b6963"),
        sequence: 0xffffffffffffffff,
        iv: hex!("333021696765746d"),
        plaintext: &hex!(
            "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c"
            "6d6e6f707172737401020201"
        ),
        sealed: &hex!(
            "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a3"
            "2b42458fb57dbe821dcc63b9d0937ba2945f669368661a329fb4c053"
        ),
    },
];
