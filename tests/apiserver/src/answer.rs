//! What a request gets: the good answer, or the failure that is scripted.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::question::{Question, Verb};
use crate::selector::Selector;
use crate::server::{Asked, Cluster};
use crate::watch::watch;

pub(crate) type Body = BoxBody<Bytes, io::Error>;
pub(crate) type Answer = Response<Body>;

/// The connection is to end without an answer.
#[derive(Debug)]
pub(crate) struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer, as scripted")
    }
}

impl std::error::Error for NoAnswer {}

/// Answers one request.
pub(crate) async fn answer(
    cluster: Arc<Cluster>,
    request: Request<Incoming>,
) -> Result<Answer, NoAnswer> {
    if request.method() == Method::POST
        && let Some(order) = request.uri().path().strip_prefix("/script/")
    {
        return Ok(obey(&cluster, order));
    }
    let Some(question) = Question::of(request.method(), request.uri()) else {
        return Ok(refuse(404, "there is nothing at this path"));
    };
    cluster.note(Asked {
        verb: question.verb.name().to_owned(),
        resource: question.resource.to_string(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    });
    let fault = cluster.fault(&question);
    if let Some(Fault::Status(code, message)) = &fault {
        return Ok(refuse(*code, message));
    }
    match &fault {
        Some(Fault::Close) => return Err(NoAnswer),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
        Some(Fault::Empty) => return Ok(json_text(200, String::new())),
        Some(Fault::Garbage) => return Ok(json_text(200, "{\"kind\": oops\n".to_owned())),
        _ => {}
    }
    let bearer = request.headers().get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    if !cluster.accepts(bearer.and_then(|it| it.strip_prefix("Bearer "))) {
        return Ok(refuse(401, "Unauthorized"));
    }
    if cluster.settings.unserved.contains(&question.resource) {
        return Ok(refuse(404, "the server could not find the requested resource"));
    }
    let answer = good(&cluster, question, request).await;
    Ok(match fault {
        Some(Fault::Cut(at)) => {
            let broken = async { Err(io::Error::other("cut, as scripted")) };
            begun(answer, at, broken)
        }
        Some(Fault::Stall(at)) => begun(answer, at, std::future::pending()),
        _ => answer,
    })
}

fn obey(cluster: &Cluster, order: &str) -> Answer {
    match order {
        "cut" => cluster.cut(),
        "forget" => cluster.store().forget(),
        "end-watches" => cluster.end_watches(),
        _ => return refuse(404, "orders are cut, forget and end-watches"),
    }
    json_answer(200, &json!({}))
}

async fn good(cluster: &Arc<Cluster>, question: Question, request: Request<Incoming>) -> Answer {
    match question.verb.clone() {
        Verb::List => list(cluster, &question),
        Verb::Watch => watch(cluster, &question),
        Verb::Get(name) => {
            let found =
                cluster.store().get(&question.resource, &question.namespace, &name).cloned();
            found.map_or_else(|| refuse(404, "not found"), |object| json_answer(200, &object))
        }
        Verb::Create => write(cluster, &question, None, request).await,
        Verb::Update(name) | Verb::Patch(name) => {
            write(cluster, &question, Some(name), request).await
        }
        Verb::Delete(name) => {
            let gone = cluster.store().remove(&question.resource, &question.namespace, &name);
            cluster.tell();
            gone.map_or_else(|| refuse(404, "not found"), |object| json_answer(200, &object))
        }
    }
}

/// Takes the object as it is sent, for a patch too.
async fn write(
    cluster: &Cluster,
    question: &Question,
    name: Option<String>,
    request: Request<Incoming>,
) -> Answer {
    let Ok(body) = request.into_body().collect().await else {
        return refuse(400, "a body cut off");
    };
    let mut object: Value = match serde_json::from_slice(&body.to_bytes()) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => return refuse(400, "the body is no object"),
    };
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if !question.namespace.is_empty() {
        object["metadata"]["namespace"] = json!(question.namespace);
    }
    if let Some(name) = name {
        object["metadata"]["name"] = json!(name);
    } else if object["metadata"]["name"].is_null() {
        let prefix = object["metadata"]["generateName"].as_str().unwrap_or("object-").to_owned();
        let number = cluster.store().version() + 1;
        object["metadata"]["name"] = json!(format!("{prefix}{number}"));
    }
    let stored = cluster.store().put(&question.resource, object);
    cluster.tell();
    json_answer(201, &stored)
}

fn list(cluster: &Cluster, question: &Question) -> Answer {
    let selector = match Selector::of(question) {
        Ok(selector) => selector,
        Err(message) => return refuse(400, &message),
    };
    let store = cluster.store();
    let (mut version, mut after) = (store.version(), None);
    if let Some((from, name)) = question.text("continue").split_once(':') {
        version = from.parse().unwrap_or(0);
        if store.is_forgotten(version) {
            return refuse(410, "The provided continue parameter is too old");
        }
        after = name.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned()));
    }
    let mut objects = store.list(&question.resource, after.as_ref());
    objects.retain(|(_, object)| selector.takes(object));
    let limit =
        question.number("limit").and_then(|it| usize::try_from(it).ok()).filter(|&it| it > 0);
    let page = &objects[..limit.unwrap_or(objects.len()).min(objects.len())];
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if page.len() < objects.len()
        && let Some(((namespace, name), _)) = page.last()
    {
        metadata["continue"] = json!(format!("{version}:{namespace}/{name}"));
    }
    // As the real one, it leaves kind and version of the items out.
    let items: Vec<Value> = page.iter().map(|(_, object)| bare(object)).collect();
    let api_version = question.resource.api_version();
    json_answer(
        200,
        &json!({ "kind": "List", "apiVersion": api_version, "metadata": metadata, "items": items }),
    )
}

fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

/// The body up to this byte, then what comes in place of its end.
fn begun(
    answer: Answer,
    at: usize,
    end: impl Future<Output = io::Result<Bytes>> + Send + Sync + 'static,
) -> Answer {
    let (parts, body) = answer.into_parts();
    let pieces = body.into_data_stream().scan(at, |left, piece| {
        let cut = match piece {
            _ if *left == 0 => None,
            Ok(bytes) if bytes.len() <= *left => {
                *left -= bytes.len();
                Some(Ok(bytes))
            }
            Ok(bytes) => Some(Ok(bytes.slice(..std::mem::take(left)))),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(cut)
    });
    Response::from_parts(parts, streamed(pieces.chain(stream::once(end))))
}

pub(crate) fn streamed(
    pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
) -> Body {
    BodyExt::boxed(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
}

fn json_answer(code: u16, value: &Value) -> Answer {
    json_text(code, value.to_string())
}

fn json_text(code: u16, text: String) -> Answer {
    let whole = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {});
    with_type(code, whole.boxed())
}

pub(crate) fn with_type(code: u16, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}

pub(crate) fn refuse(code: u16, message: &str) -> Answer {
    json_answer(code, &status(code, message))
}

/// A `Status` object, as refusals are.
pub(crate) fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "",
    };
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code })
}
