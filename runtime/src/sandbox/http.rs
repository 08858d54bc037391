//! Guests that speak HTTP: they take a request while it comes and answer while
//! they write.
//!
//! A guest that is not done when its response's head is there goes on in a task
//! of its own. The task ends with the body: whoever drops that before its end,
//! because the client has gone, ends the sandbox.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;
use wasmtime_wasi_http::{
    Error, WasiBody, WasiHttpView as _,
    p2::bindings::{ProxyPre, http::types::Scheme},
    p3::{Request as RequestP3, bindings::ServicePre},
};

use super::{
    CallContext, Function, Invocation, InvokeError,
    component::{Compiled, Guest},
    host::State,
    meter::Metered,
    proxy_event,
};
use crate::{
    json::{self, Writer},
    threads,
    timeout::within,
};

/// What the event's `requestContext` would say, as JSON.
pub const REQUEST_CONTEXT: HeaderName = HeaderName::from_static("x-amzn-request-context");

/// What the context object would say, as JSON.
pub const LAMBDA_CONTEXT: HeaderName = HeaderName::from_static("x-amzn-lambda-context");

/// Room for that, in bytes; most need less.
const LAMBDA_CONTEXT_BYTES: usize = 512;

/// Header lines that an answer may have.
const HEADERS_MAX: usize = 1000;

/// An HTTP request for a function.
pub struct HttpInvocation<B> {
    /// The request, with an absolute URI.
    pub request: Request<B>,
    /// What is said of it besides.
    pub context: CallContext,
}

/// The head of a guest's answer, or the error code that it answered.
type Head = Result<Response<WasiBody>, String>;

/// A guest that is not done.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of a guest's answer, which it is still writing.
pub struct GuestBody {
    body: WasiBody,
    metered: Arc<Metered>,
    outcome: oneshot::Receiver<Result<(), InvokeError>>,
    // None where the guest is done, and once it may go on by itself.
    task: Option<AbortOnDropHandle<()>>,
    // What is left of the length that the head declares.
    left: Option<u64>,
    declared: u64,
    ended: bool,
}

/// An answer that may still be coming.
#[derive(Default)]
pub struct Output {
    /// What is there.
    pub begin: Bytes,
    /// What follows it.
    pub rest: Option<GuestBody>,
}

/// Lets it go on by itself, until it is dropped.
fn spawned(run: Running) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(threads::spawn_shared(run))
}

impl Function {
    /// Runs the function once in a sandbox of its own, hands it a request and
    /// gives the head of its answer with a body that is still to come. The
    /// function's time counts to the body's end. Dropping the future or the
    /// body ends the sandbox.
    ///
    /// # Errors
    /// [`InvokeError`], as far as it is known when the head should be there.
    pub async fn handle<B>(
        &self,
        invocation: HttpInvocation<B>,
    ) -> Result<Response<GuestBody>, InvokeError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error,
    {
        let compiled = self.code.compiled().await?;
        let takes_long = self.account.takes_long();
        threads::in_step(takes_long, self.handle_now(compiled, invocation)).await
    }

    async fn handle_now<B>(
        &self,
        compiled: &Arc<Compiled>,
        invocation: HttpInvocation<B>,
    ) -> Result<Response<GuestBody>, InvokeError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error,
    {
        let running = self.begin()?;
        // The pool is never closed.
        let slot = Arc::clone(&self.pool).acquire_many_owned(compiled.places).await.ok();
        let HttpInvocation { request, context } = invocation;
        let is_head = request.method() == Method::HEAD;
        let (mut parts, body) = request.into_parts();
        self.describe(&mut parts, &context);
        let broken = |error: B::Error| Error::InternalError(Some(error.to_string()));
        let request = Request::from_parts(parts, body.map_err(broken).boxed_unsync());
        let log = self.log(&context);
        let meter = Arc::default();
        let metered = Metered::start(self, &context, log.clone(), running, Arc::clone(&meter));
        let metered = Arc::new(metered);
        let (head, mut answered) = oneshot::channel();
        let (ended, mut outcome) = oneshot::channel();
        let run = Run {
            compiled: Arc::clone(compiled),
            store: self.store(compiled, log, Arc::clone(&meter), &context),
            memory_mb: self.config.memory_mb,
            timeout: self.config.timeout,
            metered: Arc::clone(&metered),
            slot,
        };
        // Here as long as it is short, then by itself.
        let mut here: Option<Running> = Some(Box::pin(run.run(request, head, ended)));
        let mut task = None;
        let answered = poll_fn(|cx| {
            match here.as_mut().map(|run| run.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => here = None,
                Some(Poll::Pending) if meter.is_long() => task = here.take().map(spawned),
                _ => {}
            }
            Pin::new(&mut answered).poll(cx)
        });
        let answered = answered.await;
        let task = task.or_else(|| here.map(spawned));
        let head = match answered {
            Ok(Ok(response)) => checked(response),
            Ok(Err(code)) => Err(InvokeError::Answer(code)),
            Err(_) => match (&mut outcome).await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) => Err(InvokeError::NoAnswer),
                Err(_) => Err(InvokeError::ended()),
            },
        };
        let response = head.inspect_err(|error| metered.end(Err(error)))?;
        let left = declared_length(response.headers());
        // What they declare is the length of what another answer would have.
        let is_empty = is_head
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(response.map(|body| match is_empty {
            true => {
                discard(body, task);
                GuestBody::none(metered, outcome)
            }
            false => GuestBody::new(body, left, metered, outcome, task),
        }))
    }

    /// The same for whoever has an event and wants a result: a proxy event
    /// becomes the request, the answer a proxy response.
    pub(super) async fn handle_event(&self, invocation: Invocation) -> Result<String, InvokeError> {
        let (response, format) = self.respond(invocation).await?;
        let (parts, body) = response.into_parts();
        let body = body.whole(self.config.response_bytes_max).await?;
        Ok(proxy_event::answer(format, &parts, &body))
    }

    /// Runs the function once and gives its answer while it comes: that of a
    /// guest that speaks HTTP as Lambda streams responses, any other whole.
    ///
    /// # Errors
    /// [`InvokeError`], as far as it is known when the answer begins.
    pub async fn invoke_streaming(
        self: &Arc<Self>,
        invocation: Invocation,
    ) -> Result<Output, InvokeError> {
        if !self.code.compiled().await?.speaks_http() {
            let output = self.invoke(invocation).await?;
            return Ok(Output { begin: output.into(), rest: None });
        }
        self.check_payload(&invocation)?;
        let (response, _) = self.respond(invocation).await?;
        let (parts, body) = response.into_parts();
        Ok(Output { begin: proxy_event::prelude(&parts), rest: Some(body) })
    }

    /// Hands it the request that an event stands for.
    async fn respond(
        &self,
        invocation: Invocation,
    ) -> Result<(Response<GuestBody>, proxy_event::Format), InvokeError> {
        let Invocation { event, context } = invocation;
        let (request, format) = proxy_event::request(&event).map_err(InvokeError::Event)?;
        drop(event);
        let request = request.map(http_body_util::Full::new);
        let response = self.handle(HttpInvocation { request, context }).await?;
        Ok((response, format))
    }

    /// Adds what the context object of other functions says.
    fn describe(&self, parts: &mut Parts, call: &CallContext) {
        let arn = self.invoked_arn(call);
        let context = self.context(call, &arn);
        let trace_id = parts.headers.get("x-amzn-trace-id").and_then(|value| value.to_str().ok());
        let mut json = Writer::with_capacity(LAMBDA_CONTEXT_BYTES);
        json.object(|json| {
            json.member("request_id").text(context.request_id);
            json.member("deadline").number(context.deadline_ms);
            json.member("invoked_function_arn").text(context.invoked_function_arn);
            json.member("xray_trace_id").text_or_null(trace_id);
            json.member("client_context");
            match &call.client_context {
                None => json.null(),
                // What is no JSON says nothing.
                Some(text) => json.value(&serde_json::from_str::<Value>(text).unwrap_or_default()),
            }
            json.member("env_config").object(|json| {
                json.member("function_name").text(context.function_name);
                json.member("memory").number(context.memory_limit_mb.into());
                json.member("version").text(context.function_version);
            });
        });
        // What is escaped is a header's value.
        if let Ok(value) = HeaderValue::try_from(json::ascii(json.finish())) {
            parts.headers.insert(LAMBDA_CONTEXT, value);
        }
    }
}

/// One run of a guest.
struct Run {
    compiled: Arc<Compiled>,
    store: Store<State>,
    memory_mb: u32,
    timeout: Duration,
    metered: Arc<Metered>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Run {
    async fn run(
        self,
        request: Request<WasiBody>,
        head: oneshot::Sender<Head>,
        ended: oneshot::Sender<Result<(), InvokeError>>,
    ) {
        let Self { compiled, store, memory_mb, timeout, metered, slot } = self;
        // Declared after the permit, so that it is dropped first when nobody waits
        // any more.
        let mut store = store;
        let meter = Arc::clone(metered.meter());
        let served = {
            let served = pin!(async {
                match &compiled.guest {
                    Guest::HttpP2(pre) => serve_p2(pre, &mut store, request, head).await,
                    Guest::HttpP3(pre) => serve_p3(pre, &mut store, request, head).await,
                    _ => Err(wasmtime::Error::msg("not a guest that speaks HTTP")),
                }
            });
            within(timeout, pin!(meter.measure(served))).await
        };
        let outcome = match served {
            Some(Ok(())) => Ok(()),
            Some(Err(trap)) => Err(super::invoke::failure(&mut store, &trap, memory_mb)),
            None => Err(InvokeError::Timeout(timeout)),
        };
        metered.end(outcome.as_ref().copied());
        // Told before the store is dropped, and with it the other end of a
        // body: that end would look like the end of the body.
        let _ = ended.send(outcome);
        compiled.ended();
        drop(store);
        // It tells what was taken once all lines of the guest are written, and
        // nobody can find fault with its answer any more.
        drop(metered);
        drop(slot);
    }
}

async fn serve_p2(
    pre: &ProxyPre<State>,
    store: &mut Store<State>,
    request: Request<WasiBody>,
    head: oneshot::Sender<Head>,
) -> wasmtime::Result<()> {
    let scheme = match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let mut view = store.data_mut().http();
    let request = view.new_incoming_request(scheme, request)?;
    let out = view.new_response_outparam_from_callback(move |answer| {
        let _ = head.send(answer.map_err(|code| format!("{code:?}")));
    })?;
    let proxy = pre.instantiate_async(&mut *store).await?;
    proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await
}

async fn serve_p3(
    pre: &ServicePre<State>,
    store: &mut Store<State>,
    request: Request<WasiBody>,
    head: oneshot::Sender<Head>,
) -> wasmtime::Result<()> {
    let service = pre.instantiate_async(&mut *store).await?;
    let served = store.run_concurrent(async move |accessor| -> wasmtime::Result<()> {
        let (request, sent) = accessor.with(|mut store| {
            let (request, sent) = RequestP3::from_http(store.get().http().hooks, request);
            let sent: Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> = Box::pin(sent);
            (request, sent)
        });
        match service.handle(accessor, request).await? {
            Ok(response) => {
                let response = accessor.with(|mut store| response.into_http(&mut store, sent))?;
                let _ = head.send(Ok(response));
            }
            Err(code) => drop(head.send(Err(format!("{code:?}")))),
        }
        // The body, and whatever else the guest has begun.
        poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        Ok(())
    });
    served.await?
}

/// The head, if a client can have it.
fn checked(response: Response<WasiBody>) -> Result<Response<WasiBody>, InvokeError> {
    let status = response.status();
    if !(200..600).contains(&status.as_u16()) {
        let what = format!("its status is {}, not one of 200 to 599", status.as_u16());
        return Err(InvokeError::Malformed(what));
    }
    if response.headers().len() > HEADERS_MAX {
        let what = format!("it has more than {HEADERS_MAX} header lines");
        return Err(InvokeError::Malformed(what));
    }
    Ok(response)
}

/// Lets the guest write a body that nobody gets, as it has to for an answer to
/// HEAD.
fn discard(mut body: WasiBody, task: Option<AbortOnDropHandle<()>>) {
    // One that is done has written all that it does.
    let Some(task) = task else { return };
    threads::spawn_shared(async move {
        while let Some(Ok(_)) = body.frame().await {}
        drop(task.detach());
    });
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl GuestBody {
    fn new(
        body: WasiBody,
        left: Option<u64>,
        metered: Arc<Metered>,
        outcome: oneshot::Receiver<Result<(), InvokeError>>,
        task: Option<AbortOnDropHandle<()>>,
    ) -> Self {
        let declared = left.unwrap_or_default();
        let mut body = Self { body, metered, outcome, task, left, declared, ended: false };
        if left == Some(0) {
            body.release();
        }
        body
    }

    /// That of an answer that has none, whatever length its head declares.
    fn none(metered: Arc<Metered>, outcome: oneshot::Receiver<Result<(), InvokeError>>) -> Self {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let (left, declared) = (Some(0), 0);
        Self { body, metered, outcome, task: None, left, declared, ended: true }
    }

    /// All of it.
    ///
    /// # Errors
    /// Where it is longer than `max`, or the guest failed before its end.
    pub async fn whole(mut self, max: usize) -> Result<Bytes, InvokeError> {
        let mut whole = Vec::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let size = whole.len() + data.len();
            if size > max {
                return Err(self.refuse(InvokeError::ResponseTooLarge { size, max }));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.into())
    }

    fn end(&mut self) -> Option<Result<Frame<Bytes>, InvokeError>> {
        self.ended = true;
        if let Ok(Err(error)) = self.outcome.try_recv() {
            return Some(Err(error));
        }
        self.release();
        None
    }

    fn too_short(&self) -> InvokeError {
        let sent = self.declared - self.left.unwrap_or_default();
        InvokeError::Malformed(format!("its body has {sent} of {} bytes", self.declared))
    }

    fn release(&mut self) {
        if let Some(task) = self.task.take() {
            drop(task.detach());
        }
    }

    fn fail(&mut self, error: InvokeError) -> Option<Result<Frame<Bytes>, InvokeError>> {
        Some(Err(self.refuse(error)))
    }

    /// Ends the guest, whose fault it is.
    fn refuse(&mut self, error: InvokeError) -> InvokeError {
        self.metered.end(Err(&error));
        self.ended = true;
        self.task = None;
        error
    }

    fn take(
        &mut self,
        frame: Option<Result<Frame<Bytes>, Error>>,
    ) -> Option<Result<Frame<Bytes>, InvokeError>> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                // The reason, where there is one behind it.
                let failed = self.outcome.try_recv().ok().and_then(Result::err);
                let error = failed.unwrap_or_else(|| match self.left {
                    Some(1..) => self.too_short(),
                    _ => InvokeError::Malformed(error.to_string()),
                });
                return self.fail(error);
            }
            None => {
                return match self.left {
                    Some(1..) => match self.end() {
                        Some(error) => Some(error),
                        None => self.fail(self.too_short()),
                    },
                    _ => self.end(),
                };
            }
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.map(|left| left.checked_sub(length)) {
            None => {}
            Some(Some(left)) => {
                self.left = Some(left);
                // Whoever knows the length does not ask for more.
                if left == 0 {
                    self.release();
                }
            }
            Some(None) => {
                let what = format!("its body is longer than the declared {}", self.declared);
                return self.fail(InvokeError::Malformed(what));
            }
        }
        Some(Ok(frame))
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = InvokeError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InvokeError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map(|frame| self.take(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
