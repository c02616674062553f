//! The bucket through the API: what may be lost has to be said.

use super::doors::{Caller, Desert, House, code};
use axum::http::StatusCode;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_may_be_told_to_leave_data_behind() {
    let house = House::beside(Arc::new(Desert)).await;
    let enrol = |query: &str| {
        let body = r#"{"payload":"","key":"","signature":""}"#.to_owned();
        let operation = format!("POST /api/v1/enrol{query}");
        let house = &house;
        async move { code(house.ask(&operation, body, Caller::Socket).await).await }
    };
    for understood in ["", "?leave_behind=true", "?leave_behind=false"] {
        assert_eq!(enrol(understood).await, "bundle.malformed", "{understood}");
    }
    for odd in ["?leave_behind=perhaps", "?leave=true"] {
        assert_eq!(enrol(odd).await, "request.query", "{odd}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_other_limits_of_uploads_is_told() {
    let house = House::beside(Arc::new(Desert)).await;
    let put = |body: &str| house.ask("PUT /api/v1/bucket/uploads", body.to_owned(), Caller::Socket);
    assert_eq!(put(r#"{"bytes_per_second":2000000}"#).await.status(), StatusCode::OK, "as before there was a question");
    let late = put(r#"{"paused":true,"expected":{}}"#).await;
    assert_eq!((late.status(), code(late).await.as_str()), (StatusCode::CONFLICT, "uploads.changed"));
    let seen = put(r#"{"paused":true,"expected":{"bytes_per_second":2000000}}"#).await;
    assert_eq!(seen.status(), StatusCode::OK);
    assert_eq!(code(put(r#"{"pause":true}"#).await).await, "request.body");
    let whole_day = r#"{"windows":[{"from":"00:00","until":"24:00","bytes_per_second":0}]}"#;
    assert_eq!(put(whole_day).await.status(), StatusCode::OK);
    let window = house.appliance.status().await.bucket.uploads.windows.remove(0);
    assert_eq!(window.until.to_string(), "24:00");
    house.close().await;
}
