//! The attribute macro of `mayfly-guest`. Depend on that crate, not on this
//! one: it re-exports the macro as `mayfly_guest::handler`.

use proc_macro::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, FnArg, ItemFn, Safety, parse::Nothing, parse_macro_input};

/// Makes a function the handler of its crate.
///
/// The function stays what it is, so a unit test calls it directly. A build
/// for WebAssembly also gets the component's export, which reads the event,
/// calls the function and writes its answer. A crate has one handler.
///
/// ```
/// use mayfly_guest::{Context, Error, Request, Response, handler};
///
/// #[handler]
/// fn handle(request: Request, _context: Context) -> Result<Response, Error> {
///     Ok(Response::text(200, request.path()))
/// }
///
/// let response = handle(Request::get("/here"), Context::default())?;
/// assert_eq!(response.body_text(), "/here");
/// # Ok::<(), Error>(())
/// ```
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let _ = parse_macro_input!(arguments as Nothing);
    let function = match syn::parse::<ItemFn>(item) {
        Ok(function) => function,
        Err(error) => {
            let message = "`#[handler]` goes on a function: `fn handle(request: Request, context: Context) -> Result<Response, Error>`";
            return Error::new(error.span(), message).into_compile_error().into();
        }
    };
    let export = match check(&function) {
        Ok(()) => export(&function).into_token_stream(),
        // The function is kept, so that its callers raise no errors of their own.
        Err(error) => error.into_compile_error(),
    };
    quote!(#function #export).into()
}

/// The component's export for WebAssembly; elsewhere a check of the types, so
/// that `cargo check` on the host already reports what would not build.
fn export(function: &ItemFn) -> impl ToTokens {
    let name = &function.sig.ident;
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;
            impl ::mayfly_guest::__rt::Guest for Component {
                fn handle(
                    event: ::std::string::String,
                    context: ::mayfly_guest::__rt::WitContext,
                ) -> ::std::result::Result<::std::string::String, ::mayfly_guest::__rt::FunctionError> {
                    ::mayfly_guest::__rt::serve(#name, event, context)
                }
            }
            ::mayfly_guest::__rt::export!(Component with_types_in ::mayfly_guest::__rt);
        };

        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || ::mayfly_guest::__rt::check(#name);
    }
}

/// What the types alone would report in words that help nobody.
fn check(function: &ItemFn) -> Result<(), Error> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        let message =
            "a handler is not async: it lives for one request, and calls to services block";
        return Err(Error::new_spanned(asyncness, message));
    }
    if let Safety::Unsafe(keyword) = &signature.safety {
        return Err(Error::new_spanned(keyword, "a handler is not unsafe"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a handler is a plain Rust function"));
    }
    if !signature.generics.params.is_empty() {
        let message = "a handler is not generic: name the type of the event";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    if let Some(receiver @ FnArg::Receiver(_)) = signature.inputs.first() {
        return Err(Error::new_spanned(receiver, "a handler is a free function without `self`"));
    }
    if !(1..=2).contains(&signature.inputs.len()) {
        let message = "a handler takes the event and, if it likes, the context: `(request: Request)` or `(request: Request, context: Context)`";
        return Err(Error::new_spanned(&signature.ident, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    fn message(function: &str) -> Option<String> {
        let function = syn::parse_str(function).expect("the test's function parses");
        check(&function).err().map(|error| error.to_string())
    }

    #[test]
    fn takes_one_or_two_arguments() {
        assert_eq!(message("fn handle(request: Request) -> Response {}"), None);
        assert_eq!(message("pub fn main(event: Event<Value>, context: Context) {}"), None);
    }

    #[test]
    fn says_what_a_handler_is_not() {
        for (function, expected) in [
            ("async fn f(request: Request) {}", "not async"),
            ("unsafe fn f(request: Request) {}", "not unsafe"),
            ("extern \"C\" fn f(request: Request) {}", "plain Rust"),
            ("fn f<T>(request: T) {}", "not generic"),
            ("fn f(&self) {}", "without `self`"),
            ("fn f() {}", "takes the event"),
            ("fn f(a: Request, b: Context, c: u8) {}", "takes the event"),
        ] {
            let message = message(function).expect("the signature is refused");
            assert!(message.contains(expected), "{function}: {message}");
        }
    }
}
