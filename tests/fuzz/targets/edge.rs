//! Decodes up-edges one by one, as they stand in caches and in chunks.

#![no_main]

use wardcast_fuzz::group::edges::Edge;
use wardcast_fuzz::group::index;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut decoder = minicbor::Decoder::new(bytes);
    while let Ok(edge) = decoder.decode::<Edge>() {
        assert!(index::exists(edge.parent.node));
        assert_eq!(index::parent(edge.child.node), edge.parent.node);
        let encoded = minicbor::to_vec(edge).expect("an edge encodes");
        assert_eq!(minicbor::decode::<Edge>(&encoded).ok(), Some(edge));
    }
});
