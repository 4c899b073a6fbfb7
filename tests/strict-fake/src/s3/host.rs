//! `BUCKET.s3[-fips][.dualstack].REGION.amazonaws.com`: the hosts of AWS, for clients that come through a proxy.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

pub(crate) struct AwsHost;

impl S3Host for AwsHost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match bucket(host) {
            Some(bucket) => VirtualHost::new(host).with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}

/// The bucket that a host names.
fn bucket(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let labels = name.strip_suffix(".amazonaws.com")?;
    ["s3.", "s3-fips."].into_iter().find_map(|service| {
        let place = labels.rfind(&format!(".{service}"))?;
        labels.get(..place)
    })
}

/// Whether a request names its bucket in the host instead of the path.
pub(crate) fn is_virtual_hosted(host: &str) -> bool {
    bucket(host).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_in_hosts() {
        assert_eq!(bucket("b.s3.us-east-1.amazonaws.com"), Some("b"));
        assert_eq!(bucket("my.bucket.s3.eu-west-1.amazonaws.com:443"), Some("my.bucket"));
        assert_eq!(bucket("b.s3-fips.dualstack.us-east-1.amazonaws.com"), Some("b"));
        assert_eq!(bucket("s3.us-east-1.amazonaws.com"), None);
        assert_eq!(bucket("localhost:1234"), None);
    }
}
