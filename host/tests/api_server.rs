//! The source that follows an API server, against a scripted one over real TLS: what is told, and
//! that nothing is lost and nothing flaps however the server fails.

#[path = "api_server/cluster.rs"]
mod cluster;
#[path = "api_server/credentials.rs"]
mod credentials;
#[path = "api_server/events.rs"]
mod events;
#[path = "api_server/failures.rs"]
mod failures;
#[path = "api_server/lists.rs"]
mod lists;
#[path = "api_server/objects.rs"]
mod objects;
#[path = "api_server/streams.rs"]
mod streams;
