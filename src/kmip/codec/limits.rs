//! Every bound of the codec in one place. What is encoded keeps them too, so that whatever is written can be read again.

/// The greatest message in its binary form, in bytes, and the greatest value in it.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// The greatest message as JSON or XML, in bytes: what [`MAX_ITEMS`] items of a message of [`MAX_MESSAGE`] bytes can need.
pub const MAX_TEXT: usize = 16 * 1024 * 1024;
/// Items nested in one message, the outermost included. The standard's messages nest about ten.
pub const MAX_DEPTH: usize = 32;
/// Items of one message, structures included.
pub const MAX_ITEMS: usize = 16_384;
/// Attributes of one XML element, namespaces included.
pub const MAX_ATTRIBUTES: usize = 8;
/// What an error repeats of a name that it does not know, in bytes.
pub const MAX_SHOWN: usize = 48;
