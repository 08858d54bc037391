//! Greets whoever asks: `GET /hello?name=Ada`.

use mayfly_guest::{Context, Error, Request, Response, handler, json};

#[handler]
fn hello(request: Request, _context: Context) -> Result<Response, Error> {
    let name = request.query("name").unwrap_or("World");
    Response::json(200, &json!({ "message": format!("Hello, {name}!") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(path: &str) -> String {
        let response = hello(Request::get(path), Context::default()).expect("an answer");
        response.body_text().into_owned()
    }

    #[test]
    fn greets_by_name() {
        assert_eq!(greeting("/hello?name=Ada"), r#"{"message":"Hello, Ada!"}"#);
    }

    #[test]
    fn greets_the_world() {
        assert_eq!(greeting("/hello"), r#"{"message":"Hello, World!"}"#);
    }
}
