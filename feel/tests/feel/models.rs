use serde_json::json;

use super::harness::table;

/// Expressions of the shapes that real models use most.
#[test]
fn what_models_write() {
    let variables = json!({
        "order": {"id": "A-1", "total": 99.95, "items": [{"sku": "x", "price": 10, "qty": 2}, {"sku": "y", "price": 5.5, "qty": 1}]},
        "response": {"status": 201, "body": {"ok": true, "errors": []}},
        "approved": true, "customerName": "Ann", "retries": 2, "due": "2024-06-01T00:00:00Z", "loopCounter": 3, "tags": ["a", "b"], "error": {"code": "404", "message": "gone"},
    });
    table(
        variables,
        &[
            ("response.status >= 200 and response.status < 300", "true"),
            ("is defined(response.body.ok) and response.body.ok", "true"),
            ("if is defined(missing) then missing else \"none\"", "\"none\""),
            ("not(approved)", "false"),
            ("sum(for i in order.items return i.price * i.qty)", "25.5"),
            (
                "{id: order.id, \"total\": order.total * 100, names: order.items.sku}",
                r#"{"id": "A-1", "total": 9995, "names": ["x", "y"]}"#,
            ),
            ("\"Hello \" + customerName + \"!\"", "\"Hello Ann!\""),
            ("\"/orders/\" + order.id + \"?n=\" + string(retries)", "\"/orders/A-1?n=2\""),
            ("list contains(tags, \"a\") and count(tags) = 2", "true"),
            ("string(loopCounter) + \"/\" + string(count(order.items))", "\"3/2\""),
            ("now() + duration(\"P1D\")", "\"2024-05-18T12:34:56Z\""),
            ("date and time(due) > now()", "true"),
            ("duration(\"PT\" + string(retries * 10) + \"S\")", "\"PT20S\""),
            ("order.items[price > 6][1].sku", "\"x\""),
            ("some i in order.items satisfies i.qty > 1", "true"),
            (
                "if error.code = \"404\" then bpmnError(\"NOT_FOUND\", error.message) else null",
                r#"{"errorType": "bpmnError", "code": "NOT_FOUND", "message": "gone"}"#,
            ),
            ("get or else(order.discount, 0) + 1", "1"),
            ("append(tags, \"c\")", "[\"a\", \"b\", \"c\"]"),
            ("count(response.body.errors) = 0", "true"),
            ("replace(customerName, \"n+\", \"N\")", "\"AN\""),
        ],
    );
}
