//! The texts of scripts: shebangs, and the launchers of entry points.
//!
//! Both are what pip's distlib writes (`distlib/scripts.py`), so that installed commands are the
//! same files whoever installs them.

use super::entry_points::ObjectReference;

/// The longest first line Linux kernels before 5.1 take, `#!` and the line's end included.
const LONGEST_SHEBANG: usize = 127;

/// The first line, or the first three, that start `interpreter` with `arguments` (empty, or with a
/// space in front).
///
/// A path with white space, or one the kernel would cut off, cannot stand after `#!`: then `/bin/sh`
/// reads the file first, sees an `exec`, and Python sees a string.
#[must_use]
pub(super) fn shebang(interpreter: &[u8], arguments: &[u8]) -> Vec<u8> {
    let plain = [b"#!", interpreter, arguments, b"\n"].concat();
    if plain.len() <= LONGEST_SHEBANG && !interpreter.iter().any(u8::is_ascii_whitespace) {
        return plain;
    }
    let quoted = if interpreter.iter().all(|&b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b))
    {
        interpreter.to_vec()
    } else {
        quote(interpreter)
    };
    [b"#!/bin/sh\n'''exec' ", &quoted[..], arguments, b" \"$0\" \"$@\"\n' '''\n"].concat()
}

/// `text` in double quotes for `/bin/sh`; single quotes would end the string Python sees.
fn quote(text: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for &byte in text {
        if b"\"$`\\".contains(&byte) {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

/// The script that calls `reference` and exits with what it returns.
#[must_use]
pub(super) fn launcher(interpreter: &[u8], reference: &ObjectReference) -> Vec<u8> {
    let ObjectReference { module, attribute } = reference;
    let import = attribute.split('.').next().unwrap_or(attribute);
    let text = format!(
        "# -*- coding: utf-8 -*-\n\
         import re\n\
         import sys\n\
         from {module} import {import}\n\
         if __name__ == '__main__':\n    \
             sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    \
             sys.exit({attribute}())\n"
    );
    [shebang(interpreter, b""), text.into_bytes()].concat()
}

/// What a script must begin with to have its interpreter put in (PEP 427, "Recommended installer
/// features"); `#!pythonw` and `#!python3` begin so too.
pub(super) const PLACEHOLDER: &[u8] = b"#!python";

/// `script` with the interpreter in place of `#!python`, keeping the arguments behind it; none when
/// the script does not ask for one.
#[must_use]
pub(super) fn with_interpreter(script: &[u8], interpreter: &[u8]) -> Option<Vec<u8>> {
    let rest = script.strip_prefix(PLACEHOLDER)?;
    let end = rest.iter().position(|&byte| byte == b'\n');
    let (line, body) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
    let line = line.trim_ascii_end();
    let arguments = line.iter().position(u8::is_ascii_whitespace).map_or(&[][..], |at| &line[at..]);
    Some([&shebang(interpreter, arguments)[..], body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_launcher_is_as_distlib_writes_it() {
        let reference =
            ObjectReference { module: "keystone.cmd.manage".into(), attribute: "Cli.main".into() };
        insta::assert_snapshot!(text(&launcher(b"/opt/env/bin/python", &reference)), @r"
        #!/opt/env/bin/python
        # -*- coding: utf-8 -*-
        import re
        import sys
        from keystone.cmd.manage import Cli
        if __name__ == '__main__':
            sys.argv[0] = re.sub(r'(-script\.pyw|\.exe)?$', '', sys.argv[0])
            sys.exit(Cli.main())
        ");
    }

    #[test]
    fn odd_interpreters_go_through_the_shell() {
        insta::assert_snapshot!(text(&shebang(b"/a b/$x/python", b"")), @r#"
        #!/bin/sh
        '''exec' "/a b/\$x/python" "$0" "$@"
        ' '''
        "#);
        let long = format!("/{}/python", "x".repeat(120));
        assert_eq!(
            text(&shebang(long.as_bytes(), b" -E")),
            format!("#!/bin/sh\n'''exec' {long} -E \"$0\" \"$@\"\n' '''\n")
        );
        let exact = format!("/{}", "x".repeat(123));
        assert_eq!(text(&shebang(exact.as_bytes(), b"")), format!("#!{exact}\n"));
        assert!(text(&shebang(format!("{exact}x").as_bytes(), b"")).starts_with("#!/bin/sh"));
    }

    #[test]
    fn placeholders_are_filled_in() {
        for (script, filled) in [
            ("#!python\nx", Some("#!/p\nx")),
            ("#!pythonw\r\nx", Some("#!/p\nx")),
            ("#!python3 -E -s\nx", Some("#!/p -E -s\nx")),
            ("#!python", Some("#!/p\n")),
            ("#!/usr/bin/env python\nx", None),
            ("#! python\n", None),
            ("", None),
        ] {
            let found = with_interpreter(script.as_bytes(), b"/p").map(|bytes| text(&bytes));
            assert_eq!(found.as_deref(), filled, "{script:?}");
        }
    }
}
