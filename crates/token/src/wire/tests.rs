use super::*;

fn request() -> Asked {
    let reference = vec![1, 2, 3];
    Asked { patience_ms: 2000, request: Request::Encrypt { reference, plaintext: Zeroizing::new(vec![9; 700]), aad: vec![8; 5] } }
}

#[test]
fn a_frame_comes_back_as_it_went() {
    let mut stream = Vec::new();
    write_frame(&mut stream, 77, &request()).unwrap();
    let (id, body) = read_frame(&mut stream.as_slice()).unwrap().unwrap();
    assert_eq!(id, 77);
    let asked = Asked::parse(&body).unwrap();
    assert_eq!(asked.patience_ms, 2000);
    let Request::Encrypt { reference, plaintext, aad } = asked.request else { panic!("another request") };
    assert_eq!((reference, plaintext.len(), aad), (vec![1, 2, 3], 700, vec![8; 5]));
    assert!(read_frame(&mut [].as_slice()).unwrap().is_none(), "the end of the stream");
}

#[test]
fn what_is_cut_off_or_goes_on_is_no_message() {
    let whole = request().to_bytes();
    for length in 0..whole.len() {
        assert!(Asked::parse(&whole[..length]).is_err(), "{length} bytes of it");
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    assert!(Asked::parse(&longer).is_err());
}

#[test]
fn no_bytes_make_the_parser_panic() {
    // Every first byte with every tag behind it, and bodies of all lengths: decoding ends in a value or in `Malformed`.
    for tag in 0..=255u8 {
        for length in 0..40 {
            let mut bytes = vec![0, 0, 0, 1, tag];
            bytes.extend((0..length).map(|at| if at % 3 == 0 { 0 } else { tag.wrapping_add(at) }));
            let _ = Asked::parse(&bytes);
            let _ = Outcome::parse(&bytes);
            let _ = Hello::parse(&bytes);
            let _ = crate::Reference::parse(&bytes);
        }
    }
}

#[test]
fn a_frame_that_is_too_long_is_neither_written_nor_read() {
    let plaintext = Zeroizing::new(vec![0; BODY_BYTES_MAX]);
    let asked = Asked { patience_ms: 1, request: Request::Encrypt { reference: vec![], plaintext, aad: vec![] } };
    assert!(frame(1, &asked).is_none());
    let mut stream: &[u8] = &[0xff; 64];
    assert!(read_frame(&mut stream).is_err());
}

#[test]
fn every_fault_kind_has_a_tag_of_its_own() {
    for tag in 1..=15u8 {
        let kind = FaultKind::parse(&[tag]).unwrap();
        assert_eq!(*kind.to_bytes(), [tag]);
    }
    assert!(FaultKind::parse(&[16]).is_err());
}
