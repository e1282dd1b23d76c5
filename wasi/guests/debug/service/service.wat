;; A service of wasi:http that divides by zero for each request.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $response))
  (core module $service
    (func $handle (export "handle") (param i32 i32)
      (call $answer (i32.const 0)))
    (func $answer (param i32)
      (drop (i32.div_u (i32.const 1) (local.get 0)))))
  (core instance $instance (instantiate $service))
  (func $handle
    (param "request" (own $request)) (param "response-out" (own $response))
    (canon lift (core func $instance "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
