//! Generates the wire types without protoc (protox parses the .proto files).
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "flow/v1/types.proto",
        "flow/v1/hop.proto",
        "flow/v1/control.proto",
        "flow/v1/flow.proto",
        "flow/v1/identity.proto",
        "flow/v1/journal.proto",
        "flow/v1/ledger.proto",
        "flow/v1/swap.proto",
        "rexflow/flow.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let set = protox::compile(files, ["."])?;
    // shared where it is large; an id is cheaper as a copy
    let large = [
        "Payload.body",
        "SidecarMessage.hops",
        "TableBundle.manifest",
        "Table.bytes",
        "ApplyRequest.bpmn_xml",
        "ValidateRequest.bpmn_xml",
        "Resource.content",
    ];
    // tokens are read and written without generated messages in between: src/token.rs
    let configured = tonic_prost_build::configure().extern_path(".flow.v1.Token", "crate::Token");
    let configured = large.iter().fold(configured, |it, field| it.bytes(format!(".flow.v1.{field}")));
    configured.compile_fds(set)?;
    Ok(())
}
