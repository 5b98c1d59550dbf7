use super::*;

/// A fixed present.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

/// A time some milliseconds from the fixed present.
pub(crate) fn time_at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(NOW.as_millisecond() + milliseconds).expect("it is near the present")
}

/// All forms of an answer under each other, without colours.
pub(crate) fn every_form(answer: &impl Show) -> String {
    let forms = [
        ("people", None),
        ("-o wide", Some(Format::Wide)),
        ("-o name", Some(Format::Name)),
        ("-o json", Some(Format::Json)),
        ("-o yaml", Some(Format::Yaml)),
        ("-o", Some(Format::Original)),
    ];
    let shown = forms.map(|(title, format)| {
        let text = render(answer, format, NOW).expect("it can be shown");
        format!("# {title}\n{}", anstream::adapter::strip_str(&text))
    });
    shown.join("\n")
}
