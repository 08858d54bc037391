//! nginx, with a fixed answer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use mayfly_toolchain::apt;

use super::{Outcome, is_there};
use crate::Result;
use crate::step::report;

pub fn set_up() -> Outcome<()> {
    if is_there("nginx") { Ok(()) } else { apt::install(&["nginx-light"], &report) }
}

pub fn command(folder: &Path, address: SocketAddr) -> Result<Command> {
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config(folder, address))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(&file);
    Ok(command)
}

fn config(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nworker_processes auto;\npid {folder}/nginx.pid;\nerror_log /dev/null;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 100000000;\n\
         client_body_temp_path {folder}/nginx;\n  proxy_temp_path {folder}/nginx;\n\
         fastcgi_temp_path {folder}/nginx;\n  uwsgi_temp_path {folder}/nginx;\n\
         scgi_temp_path {folder}/nginx;\n  server {{\n    listen {address};\n\
         location / {{ default_type application/json; return 200 '{{\"message\":\"hello\"}}'; }}\n\
         }}\n}}\n"
    )
}
