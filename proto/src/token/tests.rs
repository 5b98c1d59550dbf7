//! Against the message as prost would make it: the same bytes, read the same.

use bytes::Bytes;
use prost::Message as _;
use routing::payload::Frame;
use routing::{ActivationId, Digest, Payload, Product, To, Token as Routed, TraceContext, Weight, Written};

use super::Token;
use crate::v1;

/// `flow.v1.Token` of `types.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Reference {
    #[prost(string, tag = "1")]
    instance: String,
    #[prost(bytes = "bytes", tag = "2")]
    definition: Bytes,
    #[prost(string, tag = "3")]
    element: String,
    #[prost(string, optional, tag = "4")]
    flow: Option<String>,
    #[prost(bytes = "bytes", tag = "5")]
    activation: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    parent: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    scope: Bytes,
    #[prost(uint32, tag = "8")]
    generation: u32,
    #[prost(uint32, tag = "9")]
    attempts: u32,
    #[prost(bytes = "bytes", tag = "10")]
    weight: Bytes,
    #[prost(message, repeated, tag = "11")]
    written: Vec<v1::WrittenFrame>,
    #[prost(uint64, tag = "12")]
    emitted_ms: u64,
    #[prost(message, optional, tag = "13")]
    trace: Option<v1::TraceContext>,
    #[prost(message, optional, tag = "14")]
    payload: Option<v1::Payload>,
    #[prost(bytes = "bytes", tag = "15")]
    key: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "16")]
    pools: Vec<Bytes>,
}

fn tokens() -> [Routed; 2] {
    let instance = "p-0123abcd-018f3c".into();
    let plain = Routed {
        scope: ActivationId::root(&instance),
        instance,
        definition: Digest::of(b"d"),
        element: "task".into(),
        flow: None,
        activation: ActivationId(1),
        key: ActivationId(1),
        parent: ActivationId(2),
        generation: 0,
        attempts: 0,
        weight: Weight::one(),
        written: Written::default(),
        pools: Vec::new(),
        emitted: 0,
        trace: TraceContext::default(),
        payload: Payload::default(),
    };
    let frame = |keys: &[&str], whole| Frame { keys: keys.iter().map(|it| (*it).to_owned()).collect(), whole };
    let full = Routed {
        flow: Some("f".into()),
        key: ActivationId(u128::MAX),
        generation: 300,
        attempts: 7,
        weight: Weight::one().split(3).remove(1),
        written: Written::from_frames(vec![frame(&[], false), frame(&["a", "ü"], true)]),
        pools: vec![ActivationId(3), ActivationId(u128::MAX - 1)],
        emitted: 1_700_000_000_123,
        trace: TraceContext { traceparent: "00-1".into(), tracestate: "s".into(), baggage: "b=1".into() },
        payload: Payload { content_type: "image/png".into(), body: vec![0x89; 300].into() },
        ..plain.clone()
    };
    [plain, full]
}

fn bytes(token: &Routed) -> Vec<u8> {
    Token::from(token.clone()).encode_to_vec()
}

#[test]
fn the_bytes_are_those_of_the_message() {
    for token in tokens() {
        let written = bytes(&token);
        assert_eq!(written.len(), Token::from(token.clone()).encoded_len());
        let reference = Reference::decode(&written[..]).unwrap();
        assert_eq!(reference.encode_to_vec(), written);
        assert_eq!(reference.instance, token.instance.as_str());
        assert_eq!(reference.flow.as_deref(), token.flow.as_ref().map(|it| it.as_str()));
        assert_eq!(reference.activation[..], token.activation.to_bytes());
        assert_eq!((reference.generation, reference.attempts), (token.generation, token.attempts));
        assert_eq!(reference.payload.unwrap().body, token.payload.body);
        assert_eq!(reference.key.is_empty(), token.key == token.activation);
    }
}

#[test]
fn what_was_written_is_read() {
    for token in tokens() {
        let read = Token::decode(Bytes::from(bytes(&token))).unwrap();
        assert_eq!(read.encode_to_vec(), bytes(&token));
        assert_eq!(read.into_routing().unwrap(), token);
        let product = std::sync::Arc::new(Product { token: token.clone(), to: To::Ledger });
        assert_eq!(Token::of(product).encode_to_vec(), bytes(&token));
    }
}

#[test]
fn what_is_no_token_is_told_and_the_rest_of_its_frame_is_read() {
    let reference = || Reference::decode(&bytes(&tokens()[1])[..]).unwrap();
    let spoilt: [(&str, Reference); 7] = [
        ("token", Reference { instance: String::new(), ..reference() }),
        ("token", Reference { element: String::new(), ..reference() }),
        ("digest", Reference { definition: Bytes::from_static(b"short"), ..reference() }),
        ("activation", Reference { parent: Bytes::new(), ..reference() }),
        ("activation", Reference { key: Bytes::from_static(b"short"), ..reference() }),
        ("activation", Reference { pools: vec![Bytes::from_static(b"short")], ..reference() }),
        ("weight", Reference { weight: Bytes::from_static(b"ab"), ..reference() }),
    ];
    for (field, reference) in spoilt {
        let mut frame = vec![0x08, 5];
        prost::encoding::message::encode(2, &reference, &mut frame);
        let offer = v1::Offer::decode(&frame[..]).unwrap();
        assert_eq!(offer.seq, 5);
        assert_eq!(offer.token.unwrap().into_routing().unwrap_err().field, field);
    }
    let mut garbled = bytes(&tokens()[0]);
    garbled[2] = 0xff;
    assert_eq!(Token::decode(&garbled[..]).unwrap().into_routing().unwrap_err().why, "a name is not UTF-8");
    assert!(Token::decode(&[0x0a, 9, 1][..]).is_err(), "cut off");
}

#[test]
fn fields_of_the_future_are_passed_over() {
    let mut longer = bytes(&tokens()[0]);
    longer.extend([0xf8, 0x07, 1]);
    assert_eq!(Token::decode(&longer[..]).unwrap().into_routing().unwrap(), tokens()[0]);
}
