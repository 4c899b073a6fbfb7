//! What holds a secret cannot be printed, or prints nothing of it.

use std::fmt::Debug;
use std::marker::PhantomData;

use microsecrets::aws::{AccessKey, AwsSettings, Proxy};
use microsecrets::document::{Document, Variables};
use microsecrets::item::{Change, Content, Edits};
use microsecrets::record::Head;
use microsecrets::secret::{SecretBytes, SecretString};
use microsecrets::store::{Body, Object, Payload, Put};

/// Answers whether a type can be printed: the method of its own is only there when it can, and comes before the trait's.
struct Probe<T>(PhantomData<T>);

impl<T: Debug> Probe<T> {
    fn is_printable(&self) -> bool {
        true
    }
}

trait Unprintable {
    fn is_printable(&self) -> bool {
        false
    }
}

impl<T> Unprintable for Probe<T> {}

#[test]
fn that_hold_secrets_have_no_debug() {
    macro_rules! cannot_be_printed {
        ($($type:ty),* $(,)?) => {
            $(assert!(!Probe::<$type>(PhantomData).is_printable(), stringify!($type));)*
        };
    }
    cannot_be_printed!(
        SecretString,
        SecretBytes,
        Variables,
        Document,
        Head,
        Edits,
        Change,
        Content,
        Payload,
        Put,
        Body,
        Object,
        AccessKey,
        AwsSettings,
        Proxy,
    );
    assert!(
        Probe::<String>(PhantomData).is_printable() && Probe::<microsecrets::store::Get>(PhantomData).is_printable()
    );
}
