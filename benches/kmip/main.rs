//! KMIP's binary encoding beside other implementations: `cargo bench --bench kmip`.
//!
//! With `-- --figures` it prints how our times compare on the same messages, in one process and in turns: with the crate
//! kmip-ttlv (at most 1), which has a type for each structure where ours has one tree for all, and with PyKMIP's objects
//! (at least 20 times as fast to encode), which `tests/install.sh` installs. It exits with 1 when one is missed, or PyKMIP
//! is not there.

mod pykmip;
mod typed;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use divan::{Bencher, counter::BytesCount};
use wardcast::kmip::codec::{Item, tag, ttlv, values};
use wardcast::kmip::message::Structure;

const MOST_OF_KMIP_TTLV: f64 = 1.0;
const LEAST_TIMES_PYKMIP: f64 = 20.0;
/// Rounds of the comparison, each of which measures everybody.
const ROUNDS: usize = 15;
/// A measurement of a round goes on for so long.
const SECONDS: f64 = 0.02;

fn main() -> ExitCode {
    let asked = |argument: &str| std::env::args().any(|given| given == argument);
    if asked("--figures") {
        return match figures() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    divan::main();
    ExitCode::SUCCESS
}

/// The answer to requests for keys, so many in one batch. Typical: one.
fn keys(count: usize) -> Item {
    let header = Structure::new(tag::ResponseHeader)
        .structure(version())
        .date_time(tag::TimeStamp, 1_709_251_199)
        .integer(tag::BatchCount, i32::try_from(count).expect("few"));
    let key = |number: usize| {
        let value = Structure::new(tag::KeyValue).bytes(tag::KeyMaterial, vec![7; 32]);
        let block = Structure::new(tag::KeyBlock)
            .enumeration(tag::KeyFormatType, values::KeyFormatType::Raw)
            .structure(value)
            .enumeration(
                tag::CryptographicAlgorithm,
                values::CryptographicAlgorithm::AES,
            )
            .integer(tag::CryptographicLength, 256);
        let payload = Structure::new(tag::ResponsePayload)
            .enumeration(tag::ObjectType, values::ObjectType::SymmetricKey)
            .text(
                tag::UniqueIdentifier,
                format!("4d0f8b8e-22aa-4d6e-9f7a-{number:012}"),
            )
            .structure(Structure::new(tag::SymmetricKey).structure(block));
        Structure::new(tag::BatchItem)
            .enumeration(tag::Operation, values::Operation::Get)
            .enumeration(tag::ResultStatus, values::ResultStatus::Success)
            .structure(payload)
            .into()
    };
    let message = Structure::new(tag::ResponseMessage).structure(header);
    message.items((0..count).map(key)).into()
}

/// The request for a new key that is found by its name.
fn create() -> Item {
    let header = Structure::new(tag::RequestHeader)
        .structure(version())
        .integer(tag::BatchCount, 1);
    let named = |name: &str| Structure::new(tag::Attribute).text(tag::AttributeName, name);
    let name = Structure::new(tag::AttributeValue)
        .text(tag::NameValue, "wardcast/room/7")
        .enumeration(tag::NameType, values::NameType::UninterpretedTextString);
    let template = Structure::new(tag::TemplateAttribute)
        .structure(
            named("Cryptographic Algorithm")
                .enumeration(tag::AttributeValue, values::CryptographicAlgorithm::AES),
        )
        .structure(named("Cryptographic Length").integer(tag::AttributeValue, 256))
        .structure(named("Cryptographic Usage Mask").integer(tag::AttributeValue, 12))
        .structure(named("Name").structure(name));
    let payload = Structure::new(tag::RequestPayload)
        .enumeration(tag::ObjectType, values::ObjectType::SymmetricKey)
        .structure(template);
    let batch_item = Structure::new(tag::BatchItem)
        .enumeration(tag::Operation, values::Operation::Create)
        .structure(payload);
    Structure::new(tag::RequestMessage)
        .structure(header)
        .structure(batch_item)
        .into()
}

fn version() -> Structure {
    Structure::new(tag::ProtocolVersion)
        .integer(tag::ProtocolVersionMajor, 1)
        .integer(tag::ProtocolVersionMinor, 4)
}

/// A message and its bytes.
struct Sample {
    name: &'static str,
    item: Item,
    bytes: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let messages = [
        ("create", create()),
        ("key", keys(1)),
        ("50 keys", keys(50)),
    ];
    let sample = |(name, item): (&'static str, Item)| {
        let bytes = ttlv::encode(&item).expect("within the bounds").to_vec();
        Sample { name, item, bytes }
    };
    messages.into_iter().map(sample).collect()
}

fn sample(name: &str) -> Sample {
    let found = samples().into_iter().find(|sample| sample.name == name);
    found.expect("a sample")
}

const NAMES: [&str; 3] = ["create", "key", "50 keys"];

#[divan::bench(args = NAMES)]
fn encode(bencher: Bencher<'_, '_>, name: &str) {
    let sample = sample(name);
    bencher
        .counter(BytesCount::from(sample.bytes.len()))
        .bench_local(|| ttlv::encode(black_box(&sample.item)));
}

#[divan::bench(args = NAMES)]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let sample = sample(name);
    bencher
        .counter(BytesCount::from(sample.bytes.len()))
        .bench_local(|| ttlv::decode(black_box(&sample.bytes)));
}

#[divan::bench(args = NAMES)]
fn kmip_ttlv_encode(bencher: Bencher<'_, '_>, name: &str) {
    let sample = sample(name);
    let message = typed::of(&sample.bytes);
    bencher
        .counter(BytesCount::from(sample.bytes.len()))
        .bench_local(|| black_box(&message).encode());
}

#[divan::bench(args = NAMES)]
fn kmip_ttlv_decode(bencher: Bencher<'_, '_>, name: &str) {
    let sample = sample(name);
    let message = typed::of(&sample.bytes);
    bencher
        .counter(BytesCount::from(sample.bytes.len()))
        .bench_local(|| message.decode(black_box(&sample.bytes)));
}

/// Nanoseconds of one call.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut calls = 0;
    while began.elapsed().as_secs_f64() < SECONDS {
        for _ in 0..16 {
            call();
        }
        calls += 16;
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints how our times compare, and whether that is as promised.
fn figures() -> bool {
    let samples = samples();
    let theirs = pykmip::seconds(&samples);
    let mut kept = true;
    for (place, sample) in samples.iter().enumerate() {
        let message = typed::of(&sample.bytes);
        assert_eq!(message.encode(), sample.bytes, "the same message");
        let rounds: Vec<[f64; 4]> = (0..ROUNDS)
            .map(|_| {
                [
                    nanoseconds(|| drop(black_box(ttlv::encode(black_box(&sample.item))))),
                    nanoseconds(|| drop(black_box(black_box(&message).encode()))),
                    nanoseconds(|| drop(black_box(ttlv::decode(black_box(&sample.bytes))))),
                    nanoseconds(|| message.decode(black_box(&sample.bytes))),
                ]
            })
            .collect();
        let [encode, typed_encode, decode, typed_decode] =
            [0, 1, 2, 3].map(|which| median(rounds.iter().map(|round| round[which]).collect()));
        let pairs = [
            ("encode", encode, typed_encode),
            ("decode", decode, typed_decode),
        ];
        for (what, ours, typed) in pairs {
            let ratio = ours / typed;
            kept &= ratio <= MOST_OF_KMIP_TTLV;
            print!(
                "{what} {} ({} bytes): {ours:.0} ns; kmip-ttlv {typed:.0} ns, ratio {ratio:.3} (at most {MOST_OF_KMIP_TTLV})",
                sample.name,
                sample.bytes.len(),
            );
            let python = theirs.as_ref().map(|theirs| match what {
                "encode" => theirs[place].encode,
                _ => theirs[place].decode,
            });
            match python {
                Some(seconds) if what == "encode" => {
                    let times = seconds * 1e9 / ours;
                    kept &= times >= LEAST_TIMES_PYKMIP;
                    println!(
                        "; PyKMIP {:.0} ns, {times:.0} times (at least {LEAST_TIMES_PYKMIP})",
                        seconds * 1e9
                    );
                }
                Some(seconds) => println!(
                    "; PyKMIP {:.0} ns, {:.0} times",
                    seconds * 1e9,
                    seconds * 1e9 / ours
                ),
                None => println!(),
            }
        }
    }
    if theirs.is_none() {
        println!("PyKMIP is not in target/venv: run tests/install.sh, which puts it there");
    }
    kept && theirs.is_some()
}
