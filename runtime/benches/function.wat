;; A function of `mayfly:lambda`, but for what its module defines.
(component
    (import "mayfly:lambda/types@0.1.0" (instance $types
        (type $context (record
            (field "request-id" string) (field "function-name" string)
            (field "function-version" string) (field "invoked-function-arn" string)
            (field "memory-limit-mb" u32) (field "deadline-ms" u64)))
        (export "context" (type (eq $context)))
        (type $function-error (record
            (field "error-type" string) (field "error-message" string)
            (field "stack-trace" (list string))))
        (export "function-error" (type (eq $function-error)))))
    (alias export $types "context" (type $context))
    (alias export $types "function-error" (type $function-error))
    (core module $module
        {module})
    (core instance $instance (instantiate $module))
    (func $handle (param "event" string) (param "context" $context)
        (result (result string (error $function-error)))
        (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))
            (realloc (core func $instance "realloc"))))
    (export "handle" (func $handle)))
