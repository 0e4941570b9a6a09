//! URLs: the WHATWG serialisation without fragment and user information, the host checked.
//!
//! Path and query stay as they are, in case and order: to a server they may mean something.

use std::net::IpAddr;

use url::{Host, Url};

use crate::sighting::reason::{Reason, quote};

use super::{MAX_INDICATOR, Normaliser, Refusal, names, refang};

impl Normaliser {
    /// The canonical form of a refanged URL. A text without a scheme is taken for `http`, as in
    /// Zeek's `Intel::URL`; callers that don't know the type have seen a scheme.
    pub(super) fn url(&self, text: &str) -> Result<String, Refusal> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let parsed = match scheme.filter(|scheme| refang::is_scheme(scheme)) {
            Some(_) => Url::parse(text),
            None => Url::parse(&format!("http://{text}")),
        };
        let mut url = parsed.map_err(|err| Refusal::new(Reason::BadUrl, format!("it is no URL: {err}")))?;
        if url.scheme() == "file" || !url.has_host() {
            return Err(Refusal::new(
                Reason::UrlScheme,
                format!("a {} URL names no host on a network", url.scheme()),
            ));
        }
        url.set_fragment(None);
        // Neither can fail: there is a host, and the scheme is not `file`.
        let is_bare = url.set_username("").is_ok() && url.set_password(None).is_ok();
        debug_assert!(is_bare, "a URL with a host takes another user");
        let host = self.host(&url)?;
        if let Some(host) = host {
            url.set_host(Some(&host))
                .map_err(|err| Refusal::new(Reason::BadUrl, format!("its host is none: {err}")))?;
        }
        if url.port() == Some(0) {
            return Err(Refusal::new(Reason::BadUrl, "it names port 0"));
        }
        let url = String::from(url);
        if url.len() > MAX_INDICATOR {
            return Err(Refusal::new(
                Reason::IndicatorTooLong,
                format!("the URL is {} bytes long in its canonical form", url.len()),
            ));
        }
        Ok(url)
    }

    /// Checks the host; the canonical one when it is not what stands there.
    fn host(&self, url: &Url) -> Result<Option<String>, Refusal> {
        let written = url.host_str().unwrap_or_default();
        let bad = |text: String| Refusal::new(Reason::BadUrl, text);
        // The standard parses hosts of `http` and the like only; of `tcp://0x7f.1:80` it makes a
        // name. Whoever connects makes an address of it, so we do as well.
        let host = match url.host() {
            Some(Host::Domain(name)) if !url.is_special() => {
                Host::parse(name).map_err(|err| bad(format!("its host {} is none: {err}", quote(name))))?
            }
            Some(Host::Domain(name)) => Host::Domain(name.to_owned()),
            Some(Host::Ipv4(address)) => Host::Ipv4(address),
            Some(Host::Ipv6(address)) => Host::Ipv6(address),
            None => return Err(bad("it has no host".to_owned())),
        };
        let canonical = match host {
            Host::Ipv4(address) => self.address(IpAddr::V4(address))?.to_string(),
            Host::Ipv6(address) => match self.address(IpAddr::V6(address))? {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
            Host::Domain(name) => {
                let name = names::canonical(&name)
                    .map_err(|text| bad(format!("its host {} is no domain name: {text}", quote(&name))))?;
                self.special_use(&name)?;
                name.into_owned()
            }
        };
        Ok((canonical != written).then_some(canonical))
    }
}
