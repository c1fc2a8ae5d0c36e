//! One host that serves a repository: requests, authentication, and what its answers mean.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use oci_client::errors::OciEnvelope;
use oci_client::token_cache::RegistryToken;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response};
use tokio::sync::Mutex;

use super::challenge::{self, Challenge};
use super::credentials::Credentials;
use super::error::PullError;
use super::retry::{self, Retry};

/// Longest error message or token read from a registry, in bytes.
const MESSAGE_LIMIT: u64 = 64 << 10;
/// Longest part of a registry's message that is passed on, in characters.
const QUOTE: usize = 300;

/// A registry or a mirror, for one repository.
pub(super) struct Endpoint {
    pub(super) client: reqwest::Client,
    /// `https://host[:port][/prefix]`.
    pub(super) base: String,
    pub(super) repository: String,
    /// The image as the user knows it, for messages.
    pub(super) reference: String,
    pub(super) credentials: Credentials,
    pub(super) retry: Retry,
    /// What the last challenge led to.
    pub(super) authorization: Mutex<Option<HeaderValue>>,
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    /// Whether the same request may succeed later.
    pub(super) transient: bool,
    /// How long the registry asks to wait.
    pub(super) wait: Option<Duration>,
    pub(super) error: PullError,
}

impl Failure {
    pub(super) fn transient(error: PullError) -> Self {
        Self {
            transient: true,
            wait: None,
            error,
        }
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        Self {
            transient: false,
            wait: None,
            error,
        }
    }
}

/// A document as it came.
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    pub(super) media_type: Option<String>,
    /// Docker-Content-Digest, not yet believed.
    pub(super) digest: Option<String>,
}

impl Endpoint {
    pub(super) fn url(&self, kind: &str, name: &str) -> String {
        format!("{}/v2/{}/{kind}/{name}", self.base, self.repository)
    }

    /// Sends a request, answering a challenge if there is one. The answer has a status of success.
    pub(super) async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Failure> {
        let mut used = self.authorization.lock().await.clone();
        let mut challenged = false;
        loop {
            let mut request = self
                .client
                .request(method.clone(), url)
                .headers(headers.clone());
            if let Some(authorization) = &used {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(|e| transport(url, &e))?;
            let status = response.status().as_u16();
            if response.status().is_success() {
                return Ok(response);
            }
            // Once: a fresh token that is not accepted either will not get better.
            if status == 401 && !challenged {
                let challenge = response
                    .headers()
                    .get_all(WWW_AUTHENTICATE)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .find_map(challenge::parse);
                if let Some(challenge) = challenge
                    && let Some(fresh) = self.answer(&challenge, used.as_ref()).await?
                {
                    used = Some(fresh);
                    challenged = true;
                    continue;
                }
            }
            return Err(self.refusal(response).await);
        }
    }

    /// What to send instead of `used`; `None` if there is nothing to answer with. Of
    /// several requests challenged at once, one fetches the token for all.
    async fn answer(
        &self,
        challenge: &Challenge,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let mut current = self.authorization.lock().await;
        if current.is_some() && current.as_ref() != used {
            return Ok(current.clone());
        }
        let text = match (challenge, &self.credentials) {
            (_, Credentials::Bearer(token)) => format!("Bearer {token}"),
            (Challenge::Basic, Credentials::Basic { username, password }) => {
                basic(username, password)
            }
            (Challenge::Basic, _) => return Ok(None),
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                credentials,
            ) => {
                let pull = format!("repository:{}:pull", self.repository);
                let scope = scope.as_ref().unwrap_or(&pull);
                let token = self
                    .token(realm, service.as_deref(), scope, credentials)
                    .await?;
                format!("Bearer {token}")
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            self.unauthenticated("the token has characters that no header can have")
        })?;
        value.set_sensitive(true);
        *current = Some(value.clone());
        Ok(Some(value))
    }

    /// Fetches a token (distribution's token authentication specification, and its OAuth 2
    /// form for identity tokens).
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credentials: &Credentials,
    ) -> Result<String, Failure> {
        let mut url = reqwest::Url::parse(realm)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| self.unauthenticated("the token server's address is not a URL"))?;
        let anonymous = *credentials == Credentials::Anonymous;
        if !anonymous && url.scheme() == "http" && self.base.starts_with("https:") {
            return Err(self
                .unauthenticated("it wants the password sent to a token server without encryption")
                .into());
        }
        let mut query = vec![("scope", scope)];
        query.extend(service.map(|service| ("service", service)));
        let request = match credentials {
            Credentials::IdentityToken(refresh) => {
                query.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "mini-docker"),
                    ("refresh_token", refresh),
                ]);
                let mut form = url.clone();
                form.query_pairs_mut().clear().extend_pairs(&query);
                self.client
                    .post(url.clone())
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form.query().unwrap_or_default().to_owned())
            }
            credentials => {
                url.query_pairs_mut().extend_pairs(&query);
                let request = self.client.get(url.clone());
                match credentials {
                    Credentials::Basic { username, password } => {
                        request.basic_auth(username, Some(password))
                    }
                    _ => request,
                }
            }
        };
        let response = request
            .send()
            .await
            .map_err(|error| transport(realm, &error))?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let mut failure = self.refusal(response).await;
            if !failure.transient {
                let reason = match &failure.error {
                    PullError::Denied { message, .. } | PullError::NotFound { message, .. } => {
                        format!("its token server answered {status}: {message}")
                    }
                    error => error.to_string(),
                };
                failure.error = self.unauthenticated(&reason);
            }
            return Err(failure);
        }
        let body = read(response, realm, MESSAGE_LIMIT).await?;
        let token: RegistryToken = serde_json::from_slice(&body)
            .map_err(|_| self.unauthenticated("its token server sent no token"))?;
        Ok(token.token().to_owned())
    }

    fn unauthenticated(&self, reason: &str) -> PullError {
        PullError::Authentication {
            registry: self.base.clone(),
            reason: reason.to_owned(),
        }
    }

    /// What an answer without success means.
    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status().as_u16();
        let url = response.url().to_string();
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry::retry_after(value, Timestamp::now()));
        let body = read(response, &url, MESSAGE_LIMIT)
            .await
            .unwrap_or_default();
        let message = message(&body);
        let reference = self.reference.clone();
        let error = match status {
            401 | 403 => PullError::Denied { reference, message },
            404 => PullError::NotFound {
                reference,
                message: format!("{message} ({url})"),
            },
            _ => PullError::Status {
                url,
                status,
                message,
            },
        };
        Failure {
            transient: retry::is_transient(status),
            wait,
            error,
        }
    }

    /// Fetches a document of at most `limit` bytes.
    pub(super) async fn document(
        &self,
        url: &str,
        accept: Option<&'static str>,
        limit: u64,
    ) -> Result<Fetched, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let response = self.request(Method::GET, url, &headers).await?;
        let text = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let (media_type, digest) = (text("content-type"), text("docker-content-digest"));
        let bytes = read(response, url, limit).await?;
        Ok(Fetched {
            bytes,
            media_type,
            digest,
        })
    }

    /// The digest that a tag has now, without its manifest; `None` if the registry does not tell.
    pub(super) async fn head(&self, url: &str, accept: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let response = self.request(Method::HEAD, url, &headers).await.ok()?;
        let digest = response.headers().get("docker-content-digest")?;
        Some(digest.to_str().ok()?.to_owned())
    }

    /// Asks for a blob from byte `at` on. Returns the answer and how many of its bytes
    /// are to be passed over, as not every server knows ranges.
    pub(super) async fn blob(
        &self,
        url: &str,
        at: u64,
        size: u64,
    ) -> Result<(Response, u64), Failure> {
        let mut headers = HeaderMap::new();
        if at > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={at}-"))
        {
            headers.insert(RANGE, range);
        }
        let response = self.request(Method::GET, url, &headers).await?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let (start, total) = match response.status().as_u16() {
            206 => header("content-range")
                .and_then(content_range)
                .ok_or_else(|| PullError::Protocol {
                    url: url.to_owned(),
                    reason: "a partial answer does not say which part it is".to_owned(),
                })?,
            _ => (0, response.content_length()),
        };
        if let Some(total) = total
            && total != size
        {
            return Err(PullError::Size {
                url: url.to_owned(),
                expected: size,
                actual: total,
            }
            .into());
        }
        match at.checked_sub(start) {
            Some(skip) => Ok((response, skip)),
            None => Err(PullError::Protocol {
                url: url.to_owned(),
                reason: format!("byte {at} was asked for and byte {start} comes first"),
            }
            .into()),
        }
    }
}

/// A body of at most `limit` bytes, whatever its headers say.
async fn read(mut response: Response, url: &str, limit: u64) -> Result<Bytes, Failure> {
    let too_large = || PullError::Protocol {
        url: url.to_owned(),
        reason: format!("it is larger than {limit} bytes"),
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit)
    {
        return Err(too_large().into());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| transport(url, &e))? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large().into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// A failure below HTTP: all of them may pass, but for one of our own making.
pub(super) fn transport(url: &str, error: &reqwest::Error) -> Failure {
    // The outer error only repeats the URL, which may carry a signature in its query.
    let mut reason = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !reason.is_empty() {
            reason.push_str(": ");
        }
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    // A name that is not known now is not known a second later: mostly it is misspelt.
    let unknown_name = error.is_connect() && reason.contains("dns error");
    if error.is_timeout() {
        reason = "nothing came for too long".to_owned();
    } else if reason.is_empty() {
        reason = "the request failed".to_owned();
    }
    Failure {
        transient: !(unknown_name || error.is_redirect() || error.is_builder()),
        wait: None,
        error: PullError::Transport {
            url: url.to_owned(),
            reason,
        },
    }
}

/// `bytes <first>-<last>/<total or *>`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((first.parse().ok()?, total))
}

/// What the registry says, in the specification's form of an error or any other.
fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<OciEnvelope>(body) {
        Ok(envelope) => envelope
            .errors
            .iter()
            .map(|error| match (&error.code, error.message.as_str()) {
                (code, "") => format!("{code:?}"),
                (_, message) => message.to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(QUOTE)
        .collect();
    match text.trim() {
        "" => "no reason given".to_owned(),
        text => text.to_owned(),
    }
}

fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in [
            "",
            "bytes",
            "bytes 5/10",
            "bytes */10",
            "items 1-2/3",
            "bytes 1-2/x",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn messages_are_short_and_printable() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"},{"code":"X"}]}"#;
        assert_eq!(message(body), "manifest unknown, Other(\"X\")");
        assert_eq!(message(b""), "no reason given");
        assert!(!message(b"\x1b[2Jboo\n").contains('\x1b'));
        assert_eq!(message(&[b'x'; 5000]).len(), QUOTE);
    }
}
