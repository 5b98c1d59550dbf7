//! A `protoc` for build scripts that ask for one: reads the include paths and files of its command
//! line and writes a descriptor set with protox. It generates no code and knows no other option.
use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut includes, mut files, mut out) = (Vec::new(), Vec::new(), None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--version" => return Ok(println!("libprotoc 29.0")),
            "-I" | "--proto_path" => includes.extend(args.next()),
            "-o" | "--descriptor_set_out" => out = args.next(),
            a if a.starts_with("-I") => includes.push(a[2..].to_owned()),
            a if a.starts_with("--proto_path=") => includes.push(a[13..].to_owned()),
            a if a.starts_with("--descriptor_set_out=") => out = Some(a[21..].to_owned()),
            a if a.starts_with('-') => {}
            _ => files.push(arg),
        }
    }
    let set = protox::compile(files, includes)?;
    Ok(std::fs::write(out.ok_or("no --descriptor_set_out")?, set.encode_to_vec())?)
}
