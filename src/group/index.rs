//! Index arithmetic of the key tree, apart from everything else.
