//! Applies an arbitrary diff to an arbitrary tree: it fits and leaves a sound tree, or changes nothing.

#![no_main]

use wardcast_fuzz::group::tree::{Tree, TreeDiff};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut decoder = minicbor::Decoder::new(bytes);
    let Ok(mut tree) = decoder.decode::<Tree>() else {
        return;
    };
    while let Ok(diff) = decoder.decode::<TreeDiff>() {
        let before = tree.to_bytes();
        let applied = tree.apply(&diff).is_ok();
        let after = tree.to_bytes();
        assert!(applied || before == after);
        let again = Tree::from_bytes(&after).expect("a tree stays a tree");
        assert_eq!(again.members(), tree.members());
    }
});
