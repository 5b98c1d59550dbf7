use super::*;

#[test]
fn the_calendar_goes_both_ways() {
    for days in (-1_000_000..1_000_000).step_by(37).chain([365_000_000_000, -365_000_000_000]) {
        let date = Date::from_epoch_day(days).unwrap();
        assert_eq!(date.epoch_day(), days, "{date}");
    }
    assert_eq!(Date::new(1970, 1, 1).unwrap().epoch_day(), 0);
    assert_eq!(Date::new(2024, 2, 29).unwrap().epoch_day(), 19_782);
    assert!(
        Date::new(2023, 2, 29).is_none()
            && Date::new(2023, 13, 1).is_none()
            && Date::new(1_000_000_000, 1, 1).is_none()
    );
    assert!(Date::from_epoch_day(i64::MAX).is_none());
}

#[test]
fn weekdays_and_weeks_are_iso() {
    let day = |text| Date::parse(text).unwrap();
    assert_eq!(day("2019-09-17").weekday(), 2);
    assert_eq!(day("2019-09-17").day_of_year(), 260);
    for (date, week) in [
        ("2019-09-17", 38),
        ("2003-12-29", 1),
        ("2004-01-04", 1),
        ("2005-01-01", 53),
        ("2005-01-03", 1),
        ("2006-01-01", 52),
    ] {
        assert_eq!(day(date).week_of_year(), week, "{date}");
    }
}

#[test]
fn texts_round_trip() {
    for text in ["2024-01-31", "-0044-03-15", "999999999-12-31"] {
        assert_eq!(Date::parse(text).unwrap().to_string(), text);
    }
    for text in ["10:30:00", "10:30:00.5", "10:30:00Z", "10:30:00+01:00", "10:30:00-01:00:30", "10:30:00@Europe/Berlin"]
    {
        assert_eq!(Time::parse(text).unwrap().to_string(), text);
    }
    for text in ["2024-01-31T10:30:00", "2024-01-31T10:30:00.000000001Z", "2024-07-31T10:30:00@Europe/Berlin"] {
        assert_eq!(DateTime::parse(text).unwrap().to_string(), text);
    }
    for text in ["P1Y2M", "-P3M", "P0M", "P1DT2H3M4.5S", "PT0S", "-PT1M", "P30D"] {
        assert_eq!(Duration::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Duration::parse("PT36H").unwrap().to_string(), "P1DT12H");
    assert_eq!(Duration::parse("P13M").unwrap().to_string(), "P1Y1M");
}

#[test]
fn bad_texts_are_refused() {
    for text in [
        "",
        "2024-1-31",
        "2024-01-32",
        "24-01-01",
        "02024-01-01",
        "2024-01",
        "2024-01-01-01",
        "+2024-01-01",
        "1234567890-01-01",
    ] {
        assert!(Date::parse(text).is_none(), "{text}");
    }
    for text in [
        "",
        "10:30",
        "25:00:00",
        "10:60:00",
        "10:30:00+1:00",
        "10:30:00.",
        "10:30:00@Nowhere/Land",
        "10:30:00+99:00",
        "é",
    ] {
        assert!(Time::parse(text).is_none(), "{text}");
    }
    for text in [
        "",
        "P",
        "PT",
        "P1",
        "P1YT",
        "P1YT1H",
        "P1D1Y",
        "1D",
        "P1.5D",
        "--P1D",
        "P99999999999999999999999999999999999999D",
        "PéD",
    ] {
        assert!(Duration::parse(text).is_none(), "{text}");
    }
}

#[test]
fn zones_move_with_their_rules() {
    let summer = DateTime::parse("2024-07-01T00:00:00@Europe/Berlin").unwrap();
    let winter = DateTime::parse("2024-01-01T00:00:00@Europe/Berlin").unwrap();
    assert_eq!((summer.offset(), winter.offset()), (Some(7200), Some(3600)));
    let before = DateTime::parse("2024-03-31T01:30:00@Europe/Berlin").unwrap();
    assert_eq!(before.plus(Duration::parse("PT1H").unwrap()).unwrap().to_string(), "2024-03-31T03:30:00@Europe/Berlin");
    let utc = DateTime::parse("2024-06-30T22:00:00Z").unwrap();
    assert_eq!(summer.compare(&utc), Some(Ordering::Equal));
    assert_eq!(summer.compare(&DateTime::parse("2024-06-30T22:00:00").unwrap()), None);
    let far = DateTime::parse("99999-07-01T00:00:00@Europe/Berlin").unwrap();
    assert_eq!(far.offset(), Some(7200));
    assert!(far.plus(Duration::parse("P1D").unwrap()).is_some());
}
