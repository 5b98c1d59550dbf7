//! Forms of user tasks: read, found, carried by the ledger's table.

use flow_bpmn::{Diagnostic, Options, beside, form};
use routing::compiled::Compiled;
use routing::form::{Check, Choice, Choices, Expression, Field, Form, Kind};
use routing::table::{NodeKind, RoutingTable, UserTask};
use serde_json::{Value, json};

use crate::drawn::{compile, compile_with, node, row};
use crate::fixtures::options;

fn read(json: &Value) -> Form {
    form::read(json.to_string().as_bytes()).unwrap_or_else(|found| panic!("{found:?}")).form
}

fn refused(content: &[u8]) -> Vec<String> {
    let found = form::read(content).expect_err("it is refused");
    assert!(found.iter().all(|it| it.rule == "form-invalid"), "{found:?}");
    found.iter().map(|it: &Diagnostic| format!("{}:{} {}", it.line, it.column, it.message)).collect()
}

fn task(attributes: &str, extensions: &str) -> String {
    row(
        "",
        "T",
        &format!(r#"<userTask id="T" {attributes}><extensionElements>{extensions}</extensionElements></userTask>"#),
    )
}

fn user_task(table: &RoutingTable) -> UserTask {
    match &node(table, "T").kind {
        NodeKind::UserTask(task) => (**task).clone(),
        other => panic!("{other:?}"),
    }
}

/// The one form of the process of a model, as its task finds it.
fn shown(xml: &str, options: &Options) -> (RoutingTable, Option<Form>) {
    let table = compile_with(xml, options).remove(0).ledger.table;
    let compiled = Compiled::new(table.clone(), routing::Digest::of(b"")).unwrap();
    let form = compiled.form(&user_task(&table), Some("f")).map(|it| it.form().clone());
    (table, form)
}

#[test]
fn the_originals_fields_are_read() {
    let form = read(&json!([
        {"dataId": "rate", "type": "PERCENTAGE", "order": 2, "label": "Rate %", "data": "", "encrypted": "False",
         "default": {"type": "EVAL", "value": "req_json['rate']"},
         "validators": [{"type": "PERCENTAGE"}, {"type": "REQUIRED", "constraint": "find == 'False'"}]},
        {"dataId": "find", "type": "boolean", "order": "1", "encrypted": true, "validators": null},
        {"dataId": "note", "type": "COPY", "variant": "h1", "data": "Terms"},
        {"dataId": "n", "type": "INTEGER", "default": {"type": "EVAL", "value": "= 1 + 2"},
         "validators": [{"type": "INTERVAL", "constraint": "[1,10)"}, {"type": "RANGE", "constraint": [1, 5]},
                        {"type": "REGEX", "constraint": "^[0-9]$"}, {"type": "POSITIVE"}, {"type": "BOOLEAN"}]},
        {"dataId": "t", "type": "TABLE", "default": {"type": "TEXT", "value": "[]"}},
    ]));
    assert!(!form.bound);
    let [rate, find, note, n, t] = form.fields.as_slice() else { panic!("{form:?}") };
    let python = |source: &str| Expression::Python(source.to_owned());
    assert_eq!((rate.id.as_str(), rate.kind, rate.order, rate.encrypted), ("rate", Kind::Percentage, 2, false));
    assert_eq!((rate.data.clone(), rate.label.as_deref()), (Some(json!("")), Some("Rate %")));
    assert_eq!(rate.default, Some(python("req_json['rate']")));
    assert_eq!(rate.checks, [Check::Percentage, Check::Required(Some(python("find == 'False'")))]);
    assert_eq!((find.kind, find.order, find.encrypted), (Kind::Boolean, 1, true));
    assert_eq!((note.kind, note.variant.as_deref()), (Kind::Copy, Some("H1")));
    assert_eq!(n.default, Some(Expression::Feel("1 + 2".to_owned())));
    let interval = |text: &str| Check::Interval(text.to_owned());
    let regex = Check::Regex("^[0-9]$".to_owned());
    assert_eq!(n.checks, [interval("[1,10)"), interval("[1,5]"), regex, Check::Positive, Check::Boolean]);
    assert_eq!((t.kind, &t.default), (Kind::Table, &Some(Expression::Text("[]".to_owned()))));
}

#[test]
fn what_is_wrong_in_a_form_is_told_at_its_field() {
    for (content, expected) in [
        ("{", "1:1 the form is not JSON"),
        ("[1,\n 2,]", "2:4 the form is not JSON"),
        ("5", "neither a list of fields nor a form"),
        ("[5]", "a field is not an object"),
        (r#"[{"type": "TEXT"}]"#, "a field has no `dataId`"),
        (r#"[{"dataId": "a"}]"#, "field `a`: it has no `type`"),
        (r#"[{"dataId": "a", "type": "SLIDER"}]"#, "`SLIDER` is no type; there are COPY"),
        ("[\n{\"dataId\": \"a\", \"type\": \"TEXT\"},\n {\"dataId\": \"b\", \"type\": \"X\"}]", "3:13 field `b`"),
        (r#"[{"dataId": "a", "type": "TEXT"}, {"dataId": "a", "type": "TEXT"}]"#, "two fields of this name"),
        (r#"[{"dataId": "a", "type": "TEXT", "order": "x"}]"#, "`order` is not a whole number"),
        (r#"[{"dataId": "a", "type": "TEXT", "variant": "H9"}]"#, "`H9` is no variant"),
        (r#"[{"dataId": "a", "type": "TEXT", "default": "x"}]"#, "`default` is not an object"),
        (r#"[{"dataId": "a", "type": "TEXT", "default": {"type": "JS", "value": "x"}}]"#, "of type `JS`"),
        (
            r#"[{"dataId": "a", "type": "TEXT", "default": {"type": "EVAL", "value": "b"}}]"#,
            "reads `b`, which is no field",
        ),
        (r#"[{"dataId": "a", "type": "TEXT", "default": {"type": "EVAL", "value": "open('x')"}}]"#, "only int, float"),
        (r#"[{"dataId": "a", "type": "TEXT", "validators": {}}]"#, "`validators` is not a list"),
        (r#"[{"dataId": "a", "type": "TEXT", "validators": [{"type": "CODE"}]}]"#, "`CODE` is no validator"),
        (r#"[{"dataId": "a", "type": "TEXT", "validators": [{"type": "REGEX"}]}]"#, "REGEX has no `constraint`"),
        (
            r#"[{"dataId": "a", "type": "TEXT", "validators": [{"type": "REGEX", "constraint": "(?=x)"}]}]"#,
            "look-around",
        ),
        (
            r#"[{"dataId": "a", "type": "TEXT", "validators": [{"type": "INTERVAL", "constraint": "1-2"}]}]"#,
            "no interval",
        ),
        (r#"{"components": 5}"#, "`components` is not a list"),
        (r#"{"components": [{"type": "textfield"}]}"#, "a field has no `key`"),
        (
            r#"{"components": [{"type": "textfield", "key": "a", "validate": {"minLength": "x"}}]}"#,
            "not a whole number",
        ),
        (r#"{"components": [{"type": "textfield", "key": "a", "conditional": {"hide": "=1 +"}}]}"#, "`=1 +`"),
    ] {
        let found = refused(content.as_bytes());
        assert!(found.iter().any(|it| it.contains(expected)), "{content}: {found:?}");
    }
    let many: Vec<Value> = (0..501).map(|it| json!({"dataId": format!("f{it}"), "type": "TEXT"})).collect();
    assert!(refused(json!(many).to_string().as_bytes())[0].contains("more than 500 fields"));
    assert!(refused(&vec![b' '; 300 << 10])[0].contains("longer than"));
    let mut nested = json!({"type": "group", "components": []});
    for _ in 0..20 {
        nested = json!({"type": "group", "components": [nested]});
    }
    assert!(refused(json!({"components": [nested]}).to_string().as_bytes())[0].contains("nest deeper"));
}

#[test]
fn forms_of_camunda_are_read() {
    let form = read(&json!({"id": "check", "type": "default", "components": [
        {"type": "text", "id": "Field_1", "text": "# Title"},
        {"type": "textfield", "key": "mail", "label": "Mail", "validate": {"required": true, "validationType": "email", "maxLength": 20}},
        {"type": "number", "key": "amount", "decimalDigits": 2, "validate": {"min": 1, "max": "9.5"}, "defaultValue": 5},
        {"type": "checkbox", "key": "sure", "validate": {"required": true}},
        {"type": "datetime", "key": "day", "subtype": "date", "dateLabel": "Day"},
        {"type": "select", "key": "color", "values": [{"label": "Red", "value": "r"}, {"value": "g"}]},
        {"type": "taglist", "key": "tags", "valuesKey": "all"},
        {"type": "group", "path": "customer", "conditional": {"hide": "=not(sure)"}, "components": [
            {"type": "textfield", "key": "name", "readonly": "=locked", "conditional": {"hide": "=x"}},
            {"type": "textarea", "key": "note", "disabled": true, "validate": {"pattern": "a+"}},
        ]},
        {"type": "dynamiclist", "path": "items", "components": [{"type": "number", "key": "count"}]},
        {"type": "expression", "key": "total", "expression": "=amount * 2"},
        {"type": "separator"},
    ]}));
    assert!(form.bound && form.source.is_some());
    let by_id =
        |id: &str| form.fields.iter().find(|it| it.id == id).cloned().unwrap_or_else(|| panic!("{id}: {form:?}"));
    let feel = |source: &str| Some(Expression::Feel(source.to_owned()));
    assert_eq!((by_id("Field_1").kind, by_id("Field_1").label.as_deref()), (Kind::Copy, Some("# Title")));
    let mail = by_id("mail").checks;
    assert!(matches!(mail.as_slice(), [Check::Required(None), Check::MaxLength(20), Check::Contains(_)]), "{mail:?}");
    assert_eq!(by_id("amount").checks, [Check::Decimals(2), Check::Interval("[1,9.5]".to_owned())]);
    assert_eq!(by_id("amount").data, Some(json!(5)));
    assert_eq!((by_id("sure").kind, by_id("day").kind), (Kind::Checkbox, Kind::Date));
    let choice = |value: &str, label: &str| Choice { value: json!(value), label: label.to_owned() };
    assert_eq!(by_id("color").choices, Some(Choices::Fixed(vec![choice("r", "Red"), choice("g", "g")])));
    assert_eq!(by_id("tags").choices, feel("all").map(Choices::Computed));
    let name = by_id("customer.name");
    assert_eq!((name.hidden, name.read_only), (feel("(not(sure)) or (x)"), feel("locked")));
    let note = by_id("customer.note");
    assert_eq!((note.hidden, note.read_only), (feel("not(sure)"), feel("true")));
    assert_eq!(note.checks, [Check::Contains("a+".to_owned())]);
    assert_eq!(by_id("items").rows, [Field { id: "count".to_owned(), kind: Kind::Float, ..Field::default() }]);
    assert_eq!(by_id("total").default, feel("amount * 2"));
    let unknown = form::read(br#"{"components": [{"type": "signature", "key": "s"}, {"type": "number", "key": "n", "validate": {"min": "=low"}}]}"#);
    let warnings: Vec<String> = unknown.unwrap().warnings.iter().map(|it| it.message.clone()).collect();
    assert!(warnings[0].contains("signature") && warnings[1].contains("`min` is computed"), "{warnings:?}");
}

#[test]
fn fields_in_the_model_of_camunda_7_are_read() {
    let data = r#"<camunda:formData>
      <camunda:formField id="amount" label="Amount" type="long" defaultValue="5">
        <camunda:validation><camunda:constraint name="required"/><camunda:constraint name="min" config="1"/><camunda:constraint name="max" config="9"/></camunda:validation>
      </camunda:formField>
      <camunda:formField id="color" type="enum"><camunda:value id="r" name="Red"/></camunda:formField>
      <camunda:formField id="name" type="string"><camunda:validation><camunda:constraint name="readonly"/><camunda:constraint name="maxlength" config="3"/></camunda:validation></camunda:formField>
    </camunda:formData>"#;
    let (table, form) = shown(&task("", data), &options());
    let form = form.expect("the model has it");
    let interval = |text: &str| Check::Interval(text.to_owned());
    assert_eq!(form.fields[0].checks, [Check::Required(None), interval("[1,]"), interval("[,9]")]);
    assert_eq!(form.fields[0].data, Some(json!("5")));
    assert!(form.fields[1].choices.is_some() && form.fields[2].read_only.is_some() && form.bound);
    assert_eq!(table.forms.len(), 1);
    let code = data.replace(r#"name="required""#, r#"name="validator" config="org.example.Check""#);
    let found = flow_bpmn::check(task("", &code).as_bytes(), &options()).expect_err("code is not run");
    assert!(found.iter().any(|it| it.rule == "form-invalid" && it.message.contains("is code")), "{found:?}");
}

#[test]
fn a_form_is_found_by_id_key_and_file() {
    let camunda = json!({"id": "f", "components": [{"type": "textfield", "key": "a"}]}).to_string();
    let list = json!([{"dataId": "a", "type": "TEXT"}]).to_string();
    let mut with = options();
    beside(&mut with, "/tmp/check.form", camunda.as_bytes()).unwrap();
    beside(&mut with, "forms/fields.json", list.as_bytes()).unwrap();
    let found = |xml: &str| {
        let checked = flow_bpmn::check(xml.as_bytes(), &with).unwrap();
        assert!(!checked.warnings.iter().any(|it| it.rule == "form-missing"), "{:?}", checked.warnings);
        shown(xml, &with).1.unwrap_or_else(|| panic!("{xml}")).fields.len()
    };
    let annotated = |file: &str| {
        let annotation = format!(
            r#"<textAnnotation id="N"><text>rexflow: {{fields: {{file: {file}}}}}</text></textAnnotation><association id="N1" sourceRef="T" targetRef="N"/>"#
        );
        task("", "").replace("</process>", &format!("{annotation}</process>"))
    };
    for extension in [
        r#"<zeebe:formDefinition formId="f"/>"#,
        r#"<zeebe:formDefinition formId="check"/>"#,
        r#"<zeebe:formDefinition formKey="camunda-forms:deployment:check.form"/>"#,
        r#"<zeebe:formDefinition formId="=name"/>"#,
    ] {
        assert_eq!(found(&task("", extension)), 1, "{extension}");
    }
    assert_eq!(found(&task(r#"camunda:formRef="f""#, "")), 1);
    assert_eq!(found(&task(r#"camunda:formKey="camunda-forms:deployment:check.form""#, "")), 1);
    assert_eq!(found(&annotated("fields.json")), 1);
    assert_eq!(found(&annotated("forms/fields.json")), 1);
    // without the file
    let warned = |xml: &str| {
        let checked = flow_bpmn::check(xml.as_bytes(), &options()).unwrap();
        assert!(shown(xml, &options()).1.is_none());
        checked.warnings.iter().any(|it| it.rule == "form-missing" && it.element.as_deref() == Some("T"))
    };
    assert!(warned(&annotated("fields.json")));
    assert!(warned(&task("", r#"<zeebe:formDefinition formId="f"/>"#)));
    assert!(!warned(&task("", r#"<zeebe:formDefinition externalReference="https://x"/>"#)));
    assert!(!warned(&task(r#"camunda:formKey="app:task.html""#, "")));
    for outside in ["../x.json", "/etc/x.json", "a/../../x.json", "C:x.json"] {
        assert!(flow_bpmn::check(annotated(&format!("'{outside}'")).as_bytes(), &options()).is_err(), "{outside}");
    }
}

#[test]
fn a_form_may_stand_in_the_model() {
    let json = r#"{"components": [{"type": "textfield", "key": "a"}]}"#;
    let embedded = task("", r#"<zeebe:formDefinition formKey="camunda-forms:bpmn:F1"/>"#);
    let form =
        format!(r#"<extensionElements><zeebe:userTaskForm id="F1">{json}</zeebe:userTaskForm></extensionElements>"#);
    let at = embedded.find("<process").unwrap();
    let at = at + embedded[at..].find('>').unwrap() + 1;
    let with = format!("{}{form}{}", &embedded[..at], &embedded[at..]);
    assert_eq!(shown(&with, &options()).1.expect("it stands there").fields[0].id, "a");
    assert!(flow_bpmn::check(with.replace(json, "{").as_bytes(), &options()).is_err());
    // as the original's flowctl writes it
    let annotation = r#"<textAnnotation id="N"><text>rexflow:
  fields:
    desc:
    - data: ''
      dataId: a
      encrypted: 'False'
      type: TEXT
      validators:
      - type: REQUIRED
    file: a.json
</text></textAnnotation><association id="N1" sourceRef="T" targetRef="N"/>"#;
    let described = task("", "").replace("</process>", &format!("{annotation}</process>"));
    let (table, form) = shown(&described, &options());
    assert_eq!(form.expect("it is described").fields[0].checks, [Check::Required(None)]);
    assert_eq!(user_task(&table).form, Some(routing::table::Template::Static("a.json".to_owned())));
    assert!(flow_bpmn::check(described.replace("type: TEXT", "type: X").as_bytes(), &options()).is_err());
}

#[test]
fn the_hash_covers_forms_and_tasks_tables_do_not_carry_them() {
    let xml = task("", r#"<zeebe:formDefinition formId="f"/>"#);
    let deployment = |key: &str| {
        let mut with = options();
        let form = json!({"id": "f", "components": [{"type": "textfield", "key": key}]});
        beside(&mut with, "f.form", form.to_string().as_bytes()).unwrap();
        let definition = compile_with(&xml, &with).remove(0);
        assert!(definition.tasks.values().all(|it| it.table.forms.is_empty()));
        definition.deployment
    };
    assert_ne!(deployment("a"), deployment("b"));
    assert_eq!(deployment("a"), deployment("a"));
    assert_ne!(deployment("a"), compile(&xml).deployment);
}
