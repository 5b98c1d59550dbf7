//! [`Access`] around tonic's services.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Access;

/// Puts a [`Guard`] around a service.
#[derive(Clone, Debug)]
pub(crate) struct GuardLayer {
    access: Access,
}

impl GuardLayer {
    pub(super) fn new(access: Access) -> Self {
        Self { access }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { access: self.access.clone(), inner }
    }
}

/// Answers calls that may not pass with why.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    access: Access,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let access = self.access.clone();
        // the one that is ready, and for the next call one that gets so
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            match access.call(request.uri().path(), request.headers()).await {
                Ok(None) => inner.call(request).await,
                Ok(Some(caller)) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(refusal) => Ok(Status::from(refusal).into_http()),
            }
        })
    }
}
