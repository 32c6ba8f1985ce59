//! Decodes a tree's snapshot, as it comes from a disk.

#![no_main]

use wardcast_fuzz::group::tree::Tree;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(tree) = Tree::from_bytes(bytes) {
        let encoded = tree.to_bytes();
        let again = Tree::from_bytes(&encoded).expect("what was read is a tree");
        assert_eq!(again.to_bytes(), encoded);
        assert_eq!(again.root(), tree.root());
        assert_eq!(again.members(), tree.members());
    }
});
