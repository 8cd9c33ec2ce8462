//! How a refusal or a fault is told over HTTP.
