//! The SDK's floor: `sdk-floor BUCKET KEY` gets one object and writes it to standard output, by the AWS SDK for Rust as
//! its documentation shows it: its own chain of credentials and regions, its own retries and time-outs.
//!
//! Only the TLS is chosen, as Microsecrets chooses it (rustls with ring), and buckets are in the path, because what it is
//! measured on listens on one address (`AWS_ENDPOINT_URL`).

use std::error::Error;
use std::io::Write as _;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

async fn get(bucket: &str, key: &str) -> Result<(), Box<dyn Error>> {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .load()
        .await;
    let config = aws_sdk_s3::config::Builder::from(&config)
        .force_path_style(true)
        .build();
    let object = Client::from_conf(config)
        .get_object()
        .bucket(bucket)
        .key(key)
        .send()
        .await?;
    let bytes = object.body.collect().await?.into_bytes();
    Ok(std::io::stdout().write_all(&bytes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bucket, key] = arguments.as_slice() else {
        return Err("usage: sdk-floor BUCKET KEY".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(get(bucket, key))
}
