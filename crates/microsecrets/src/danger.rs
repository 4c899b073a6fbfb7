//! Names of environment variables with which whoever writes the secrets runs code, or chooses whom the program trusts.
//!
//! One table, [`ROWS`]. It is for warning when everything is allowed, and for keeping globs from matching (see
//! [`crate::whitelist`]); a name that is given as it is stays allowed. So it is long rather than short: a row too many
//! costs a word on the command line.
//!
//! It can't be complete, since every program may read what it likes. It begins with what `sudo` always removes
//! (`env_delete`: `initial_badenv_table` in `plugins/sudoers/env.c` of sudo at commit `2e18923c`, except `*=()*`, which
//! speaks of values) and what glibc hides from privileged programs (ld.so(8), "secure-execution mode"); the other rows
//! are from the documentation of the tool. Not in it are the variables that sudo only checks for `/` and `%`: `LANG`,
//! `LC_*`, `TERM`, `TZ` and the like.

/// Finds what a variable of this name can do, or `None` for an ordinary name.
///
/// Names are compared exactly: `Path` is an ordinary name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.matches(name))
}

/// One name, or one family of names, that can run code or redirect trust.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// A name, in which one `*` stands for any number of characters.
    pub pattern: &'static str,
    /// What such a variable does, to follow the name and a colon in a message: lower case, without a period.
    pub why: &'static str,
    /// Where that is documented: manual pages, or the tool's documentation by title.
    pub source: &'static str,
    /// Where the `*` is. Every variable of a start is held against every row: looking for it each time would be most of
    /// what a start with a thousand variables costs.
    star: Option<usize>,
}

impl Row {
    /// Whether the pattern covers this name.
    pub fn matches(&self, name: &str) -> bool {
        let Some(star) = self.star else {
            return name == self.pattern;
        };
        let (start, end) = (&self.pattern[..star], &self.pattern[star + 1..]);
        name.strip_prefix(start).is_some_and(|rest| rest.ends_with(end))
    }
}

/// Every name and family, grouped by who reads them; no row is covered by an earlier one.
#[rustfmt::skip] // one row, one or two lines
pub const ROWS: &[Row] = &[
    // The dynamic linker and the C library.
    row("LD_*", "loads libraries into the program (LD_PRELOAD, LD_AUDIT, LD_LIBRARY_PATH)", "ld.so(8)"),
    row("DYLD_*", "loads libraries into the program", "macOS dyld(1)"),
    row("LDR_*", "loads libraries into the program", "AIX; sudo's env_delete"),
    row("LIBPATH", "chooses where libraries are loaded from", "AIX, z/OS; sudo's env_delete"),
    row("SHLIB_PATH", "chooses where libraries are loaded from", "HP-UX; sudo's env_delete"),
    row("_RLD*", "loads libraries into the program", "IRIX, Tru64; sudo's env_delete"),
    row("AUTHSTATE", "chooses the authentication method", "AIX; sudo's env_delete"),
    row("GLIBC_TUNABLES", "changes the C library's inner workings", "ld.so(8); CVE-2023-4911"),
    row("GCONV_PATH", "loads character set modules into the program",
        "ld.so(8), secure-execution mode; sudo's env_delete"),
    row("GETCONF_DIR", "chooses which getconf program runs", "ld.so(8), secure-execution mode"),
    row("LOCPATH", "chooses where locale data is read from", "ld.so(8), secure-execution mode"),
    row("PATH_LOCALE", "chooses where locale data is read from", "sudo's env_delete"),
    row("NLSPATH", "chooses where message formats are read from", "ld.so(8), secure-execution mode; sudo's env_delete"),
    row("NIS_PATH", "redirects NIS+ lookups", "ld.so(8), secure-execution mode"),
    row("MALLOC_*", "changes the allocator; MALLOC_TRACE and MALLOC_CONF write files",
        "mallopt(3), mtrace(3), jemalloc(3)"),
    row("TZDIR", "chooses where time zone data is read from", "ld.so(8), secure-execution mode"),
    row("HOSTALIASES", "redirects host names", "ld.so(8), secure-execution mode; sudo's env_delete"),
    row("LOCALDOMAIN", "redirects host names", "resolv.conf(5); sudo's env_delete"),
    row("RESOLV_HOST_CONF", "redirects host names", "ld.so(8), secure-execution mode"),
    row("RES_OPTIONS", "changes how host names are resolved", "resolv.conf(5); sudo's env_delete"),
    row("*SAN_OPTIONS", "runs a symbolizer and writes files, in programs built with sanitizers",
        "clang AddressSanitizer documentation"),
    row("TMPDIR", "chooses where temporary files go", "ld.so(8), secure-execution mode"),
    row("TMP", "chooses where temporary files go", "Python tempfile documentation"),
    row("TEMP", "chooses where temporary files go", "Python tempfile documentation"),
    // Shells.
    row("PATH", "chooses which programs run", "environ(7)"),
    row("HOME", "chooses whose configuration is read", "environ(7)"),
    row("SHELL", "names a program to run", "environ(7)"),
    row("ENV", "names a file that shells run at start", "sh(1p); sudo's env_delete"),
    row("BASH_ENV", "names a file that bash runs at start", "bash(1); sudo's env_delete"),
    row("BASH_FUNC_*", "defines shell functions, in the place of commands", "bash(1); CVE-2014-6271"),
    row("__BASH_FUNC<*", "defines shell functions, in the place of commands", "Apple's bash; sudo 1.8's env_delete"),
    row("BASH_LOADABLES_PATH", "chooses where builtins are loaded from", "bash(1)"),
    row("BASHOPTS", "changes the shell's options", "bash(1); sudo's env_delete"),
    row("SHELLOPTS", "changes the shell's options; with PS4, runs commands", "bash(1); sudo's env_delete"),
    row("PROMPT_COMMAND", "runs before each prompt", "bash(1)"),
    row("PS0", "expanded by the shell, commands in it are run", "bash(1)"),
    row("PS1", "expanded by the shell, commands in it are run", "bash(1)"),
    row("PS2", "expanded by the shell, commands in it are run", "bash(1)"),
    row("PS4", "expanded by the shell, commands in it are run", "bash(1); sudo's env_delete"),
    row("IFS", "changes how shells split words into commands and arguments", "sh(1p); sudo's env_delete"),
    row("CDPATH", "changes where cd goes", "sh(1p); sudo's env_delete"),
    row("GLOBIGNORE", "changes what shell globs match", "bash(1); sudo's env_delete"),
    row("EXECIGNORE", "changes which program a command finds", "bash(1)"),
    row("FPATH", "chooses where functions are loaded from", "ksh(1), zsh(1); sudo's env_delete"),
    row("NULLCMD", "names a command to run", "zshparam(1); sudo's env_delete"),
    row("READNULLCMD", "names a command to run", "zshparam(1); sudo's env_delete"),
    row("TMPPREFIX", "chooses where temporary files go", "zshparam(1); sudo's env_delete"),
    row("ZDOTDIR", "chooses which start-up files run", "zsh(1); sudo's env_delete"),
    row("INPUTRC", "names a file of key bindings, which can run commands", "readline(3)"),
    // Programs that other programs start.
    row("EDITOR", "names a program to run", "environ(7)"),
    row("VISUAL", "names a program to run", "environ(7)"),
    row("FCEDIT", "names a program to run", "sh(1p), fc(1p)"),
    row("*_EDITOR", "names a program to run (SUDO_EDITOR, SYSTEMD_EDITOR)", "sudo(8), systemctl(1)"),
    row("PAGER", "names a program to run", "environ(7)"),
    row("MANPAGER", "names a program to run", "man(1)"),
    row("*_PAGER", "names a program to run (SYSTEMD_PAGER)", "systemctl(1)"),
    row("BROWSER", "names a program to run", "xdg-open(1), Python webbrowser documentation"),
    row("LESSOPEN", "names a program to run", "less(1)"),
    row("LESSCLOSE", "names a program to run", "less(1)"),
    row("LESS", "options of less; can write files", "less(1)"),
    row("LESSKEY*", "key bindings of less, and through them its variables", "less(1), lesskey(1)"),
    row("EXINIT", "commands that vi runs at start", "ex(1p)"),
    row("VIMINIT", "commands that vim runs at start", "vim :help VIMINIT"),
    row("VIMRUNTIME", "chooses which scripts vim runs", "vim :help $VIMRUNTIME"),
    row("VIM", "chooses which scripts vim runs", "vim :help $VIM"),
    row("*_ASKPASS", "names a program that is run for a password (SUDO_ASKPASS)", "sudo(8), gitcredentials(7)"),
    row("SSH_ASKPASS*", "names a program that is run for a password", "ssh(1)"),
    row("SSH_AUTH_SOCK", "redirects to another authentication agent", "ssh(1)"),
    row("SSH_SK_PROVIDER", "loads a library into ssh", "ssh-add(1)"),
    row("GIT_*", "runs commands and changes configuration (GIT_SSH_COMMAND, GIT_CONFIG_COUNT)",
        "git(1), git-config(1); sudo's env_delete"),
    row("HGRCPATH", "chooses Mercurial's configuration, which can run commands", "hg(1), help environment"),
    row("SVN_SSH", "names a program to run", "Subversion book, svn+ssh"),
    row("CVS_RSH", "names a program to run", "cvs(1)"),
    row("RSYNC_RSH", "names a program to run", "rsync(1)"),
    row("RSYNC_CONNECT_PROG", "names a program to run", "rsync(1)"),
    row("GNUPGHOME", "chooses gpg's keys and configuration", "gpg(1)"),
    row("XDG_CONFIG_*", "chooses whose configuration is read", "XDG Base Directory Specification"),
    row("XDG_DATA_*", "chooses where programs read data files from", "XDG Base Directory Specification"),
    // Terminals and desktops.
    row("TERMINFO", "chooses the terminal description, read by privileged code too", "terminfo(5); sudo's env_delete"),
    row("TERMINFO_DIRS", "chooses the terminal description", "terminfo(5); sudo's env_delete"),
    row("TERMPATH", "chooses the terminal description", "termcap(5); sudo's env_delete"),
    row("TERMCAP", "chooses the terminal description", "termcap(5); sudo's env_delete"),
    row("GTK_MODULES", "loads modules into the program", "GTK 3, Running GTK applications"),
    row("GTK_PATH", "chooses where modules are loaded from", "GTK 3, Running GTK applications"),
    row("GIO_EXTRA_MODULES", "chooses where modules are loaded from", "GIO, Running GIO applications"),
    row("GIO_MODULE_DIR", "chooses where modules are loaded from", "GIO, Running GIO applications"),
    row("QT_PLUGIN_PATH", "chooses where plugins are loaded from", "Qt, Deploying plugins"),
    // JavaScript.
    row("NODE_OPTIONS", "options of node; --require runs a file", "node(1); sudo's env_delete"),
    row("NODE_PATH", "chooses where modules are loaded from", "node(1); sudo's env_delete"),
    row("NODE_EXTRA_CA_CERTS", "adds certificate authorities that are trusted", "node(1)"),
    row("NODE_TLS_REJECT_UNAUTHORIZED", "switches the check of certificates off", "Node.js command-line API"),
    row("NODE_REPL_EXTERNAL_MODULE", "names a module to run", "Node.js command-line API"),
    row("NODE_V8_COVERAGE", "writes files", "Node.js command-line API"),
    row("NPM_CONFIG_*", "settings of npm (script-shell, node-options, registry)", "npm config(7)"),
    row("npm_config_*", "settings of npm (script-shell, node-options, registry)", "npm config(7)"),
    row("BUN_OPTIONS", "options of bun; --preload runs a file", "Bun documentation, Environment variables"),
    row("DENO_CERT", "adds certificate authorities that are trusted", "deno help"),
    // Python.
    row("PYTHONPATH", "chooses where modules are loaded from", "python(1); sudo's env_delete"),
    row("PYTHONHOME", "chooses where the standard library is loaded from", "python(1); sudo's env_delete"),
    row("PYTHONPLATLIBDIR", "chooses where the standard library is loaded from", "python(1)"),
    row("PYTHONSTARTUP", "names a file that is run at start", "python(1); sudo's env_delete"),
    row("PYTHONINSPECT", "starts a prompt after the program", "python(1); sudo's env_delete"),
    row("PYTHONBREAKPOINT", "names a function that breakpoint() runs", "Python command line documentation, PEP 553"),
    row("PYTHONUSERBASE", "chooses where modules are loaded from", "python(1); sudo's env_delete"),
    row("PYTHONEXECUTABLE", "changes which interpreter child processes use", "Python command line documentation"),
    row("PYTHONPYCACHEPREFIX", "chooses where compiled modules are loaded from",
        "Python command line documentation, 3.8"),
    row("PYTHONWARNINGS", "imports a module; with BROWSER, runs a command", "python(1), Python warnings documentation"),
    row("PYTHONHTTPSVERIFY", "switches the check of certificates off", "PEP 493"),
    row("PIP_*", "settings of pip (index-url, trusted-host, config-file)", "pip documentation, Configuration"),
    // Perl, Ruby, PHP, Lua, Tcl, R, Julia.
    row("PERL5*", "runs code and chooses modules (PERL5OPT, PERL5LIB, PERL5DB)", "perlrun(1); sudo's env_delete"),
    row("PERLLIB", "chooses where modules are loaded from", "perlrun(1); sudo's env_delete"),
    row("PERLIO", "chooses the layers of files", "perlrun(1)"),
    row("PERLIO_DEBUG", "writes a file", "perlrun(1); sudo's env_delete"),
    row("RUBYOPT", "options of ruby; -r runs a file", "ruby(1); sudo's env_delete"),
    row("RUBYLIB", "chooses where libraries are loaded from", "ruby(1); sudo's env_delete"),
    row("RUBYSHELL", "names a program to run", "ruby(1)"),
    row("RUBYPATH", "chooses which scripts run", "ruby(1)"),
    row("GEM_HOME", "chooses where gems are loaded from", "gem help environment"),
    row("GEM_PATH", "chooses where gems are loaded from", "gem help environment"),
    row("BUNDLE_*", "settings of bundler (BUNDLE_GEMFILE, a file that is run)", "bundle-config(1)"),
    row("PHPRC", "chooses php.ini, which can run a file (auto_prepend_file)", "PHP manual, The configuration file"),
    row("PHP_INI_SCAN_DIR", "chooses more php.ini files", "PHP manual, The configuration file"),
    row("LUA_INIT*", "code that lua runs at start", "lua(1)"),
    row("LUA_PATH*", "chooses where modules are loaded from", "Lua reference manual, package.path"),
    row("LUA_CPATH*", "chooses where libraries are loaded from", "Lua reference manual, package.cpath"),
    row("TCLLIBPATH", "chooses where packages are loaded from", "tclvars(3tcl)"),
    row("R_PROFILE*", "names a file that R runs at start", "R help(Startup)"),
    row("R_ENVIRON*", "names a file of more environment variables", "R help(Startup)"),
    row("R_LIBS*", "chooses where packages are loaded from", "R help(libPaths)"),
    row("JULIA_LOAD_PATH", "chooses where packages are loaded from", "Julia manual, Environment Variables"),
    row("JULIA_DEPOT_PATH", "chooses where packages are loaded from", "Julia manual, Environment Variables"),
    // Java, .NET, Erlang.
    row("JAVA_TOOL_OPTIONS", "options of the JVM; -javaagent loads code",
        "JVM Tool Interface specification; sudo's env_delete"),
    row("_JAVA_OPTIONS", "options of the JVM; -javaagent loads code", "HotSpot; sudo's env_delete"),
    row("JDK_JAVA_OPTIONS", "options of the JVM; -javaagent loads code", "java(1), JDK 9"),
    row("JDK_JAVAC_OPTIONS", "options of the compiler; -processor runs code", "javac(1), JDK 9"),
    row("JAVA_OPTS", "options of the JVM, in many start scripts", "Tomcat RUNNING.txt, Gradle start scripts"),
    row("JAVA_HOME", "chooses which JVM runs", "Maven and Gradle documentation"),
    row("CLASSPATH", "chooses where classes are loaded from", "java(1); sudo's env_delete"),
    row("CATALINA_OPTS", "options of the JVM", "Tomcat RUNNING.txt"),
    row("MAVEN_OPTS", "options of the JVM", "Maven documentation, Configuring Maven"),
    row("MAVEN_ARGS", "options of mvn", "Maven documentation, Configuring Maven"),
    row("GRADLE_OPTS", "options of the JVM", "Gradle documentation, Build environment"),
    row("DOTNET_STARTUP_HOOKS", "names an assembly that is run at start", ".NET documentation, host-startup-hook"),
    row("DOTNET_ADDITIONAL_DEPS", "adds assemblies to the program", ".NET documentation, Environment variables"),
    row("DOTNET_SHARED_STORE", "chooses where assemblies are loaded from", ".NET documentation, Environment variables"),
    row("DOTNET_ROOT*", "chooses which runtime runs", ".NET documentation, Environment variables"),
    row("COR_*", "loads a profiler into the program (COR_PROFILER_PATH)",
        ".NET documentation, Setting up a profiling environment"),
    row("CORECLR_*", "loads a profiler into the program (CORECLR_PROFILER_PATH)",
        ".NET documentation, Setting up a profiling environment"),
    row("ERL_*FLAGS", "options of the emulator; -eval runs code", "erl(1)"),
    row("ERL_LIBS", "chooses where modules are loaded from", "Erlang code(3)"),
    row("ELIXIR_ERL_OPTIONS", "options of the emulator; -eval runs code", "elixir(1)"),
    // Compilers and builders.
    row("CC", "names a program to run", "GNU make manual, Implicit variables"),
    row("CXX", "names a program to run", "GNU make manual, Implicit variables"),
    row("MAKEFLAGS", "options of make; --eval runs code", "GNU make manual, Options/Recursion"),
    row("GNUMAKEFLAGS", "options of make; --eval runs code", "GNU make manual, Options/Recursion"),
    row("MAKEFILES", "makefiles that make reads first", "GNU make manual, MAKEFILES Variable"),
    row("RUSTC", "names a program to run", "Cargo book, Environment Variables"),
    row("RUSTC_*WRAPPER", "names a program to run", "Cargo book, Environment Variables"),
    row("RUSTDOC", "names a program to run", "Cargo book, Environment Variables"),
    row("RUSTFLAGS", "options of rustc; -C linker runs a program", "Cargo book, Environment Variables"),
    row("CARGO_ENCODED_RUSTFLAGS", "options of rustc; -C linker runs a program", "Cargo book, Environment Variables"),
    row("CARGO_HOME", "chooses cargo's configuration", "Cargo book, Environment Variables"),
    row("CARGO_BUILD_*", "settings of cargo (rustc-wrapper)", "Cargo book, Configuration"),
    row("CARGO_TARGET_*", "settings of cargo (linker, runner)", "Cargo book, Configuration"),
    row("RUSTUP_*", "chooses which toolchain runs", "rustup book, Environment variables"),
    row("GOENV", "chooses go's configuration", "go help environment"),
    row("GOFLAGS", "options of go; -toolexec runs a program", "go help environment"),
    row("GOPATH", "chooses where packages are read from", "go help environment"),
    row("GOPROXY", "chooses where modules are fetched from", "go help environment"),
    row("GOROOT", "chooses which toolchain runs", "go help environment"),
    row("GOSUMDB", "switches the check of modules off", "go help environment"),
    row("GOTOOLCHAIN", "chooses which toolchain runs", "go help environment"),
    // Trust and the network.
    row("OPENSSL_CONF", "chooses OpenSSL's configuration, which can load libraries", "openssl-env(7)"),
    row("OPENSSL_CONF_INCLUDE", "chooses OpenSSL's configuration, which can load libraries", "openssl-env(7)"),
    row("OPENSSL_ENGINES", "chooses where engines are loaded from", "openssl-env(7)"),
    row("OPENSSL_MODULES", "chooses where providers are loaded from", "openssl-env(7)"),
    row("SSL_CERT_FILE", "replaces the certificate authorities that are trusted", "openssl-env(7)"),
    row("SSL_CERT_DIR", "replaces the certificate authorities that are trusted", "openssl-env(7)"),
    row("*_CA_BUNDLE", "replaces the certificate authorities that are trusted", "curl(1), Requests documentation"),
    row("SSLKEYLOGFILE", "writes the keys of TLS connections to a file", "curl(1), NSS key log format"),
    row("CURL_HOME", "chooses curl's configuration", "curl(1)"),
    row("WGETRC", "chooses wget's configuration", "GNU wget manual, Wgetrc location"),
    row("SYSTEM_WGETRC", "chooses wget's configuration", "GNU wget manual, Wgetrc location"),
    row("*_PROXY", "redirects connections", "curl(1)"),
    row("*_proxy", "redirects connections", "curl(1)"),
    row("KRB5_CONFIG*", "chooses Kerberos configuration, which can load libraries", "kerberos(7); sudo's env_delete"),
    row("KRB5_KTNAME", "chooses whose keys are used", "kerberos(7); sudo's env_delete"),
    row("LDAPCONF", "chooses LDAP configuration", "ldap.conf(5)"),
    row("LDAPRC", "chooses LDAP configuration", "ldap.conf(5)"),
    row("LDAPTLS_*", "changes which LDAP servers are trusted", "ldap.conf(5)"),
    row("VAR_ACE", "redirects SecurID", "sudo's env_delete"),
    row("USR_ACE", "redirects SecurID", "sudo's env_delete"),
    row("DLC_ACE", "redirects SecurID", "sudo's env_delete"),
    row("ODBCINI", "chooses which database drivers are loaded", "unixODBC(7), odbc.ini(5)"),
    row("ODBCSYSINI", "chooses which database drivers are loaded", "unixODBC(7), odbcinst.ini(5)"),
    row("PGSSLROOTCERT", "replaces the certificate authority that is trusted",
        "PostgreSQL, libpq environment variables"),
    row("PGSERVICEFILE", "redirects database connections", "PostgreSQL, libpq environment variables"),
    row("PGSYSCONFDIR", "redirects database connections", "PostgreSQL, libpq environment variables"),
    // Clouds and deployment.
    row("AWS_*", "chooses whose account is used; AWS_CONFIG_FILE can run commands (credential_process)",
        "AWS SDKs and Tools reference guide"),
    row("MICROSECRETS_*", "redirects microsecrets itself", "README of microsecrets"),
    row("CLOUDSDK_*", "settings of gcloud; CLOUDSDK_PYTHON names a program to run", "gcloud topic startup"),
    row("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "lets a credential file run commands", "Google AIP-4117"),
    row("KUBECONFIG", "chooses kubectl's configuration, which can run commands",
        "kubectl documentation, client-go credential plugins"),
    row("DOCKER_CONFIG", "chooses docker's configuration, which can run commands", "docker(1), credential helpers"),
    row("DOCKER_HOST", "redirects to another daemon", "docker(1)"),
    row("DOCKER_CERT_PATH", "chooses which daemons are trusted", "docker(1)"),
    row("ANSIBLE_*", "settings of Ansible, which can run code", "Ansible configuration settings"),
    row("TF_CLI_*", "options and configuration of Terraform", "Terraform CLI, Environment variables"),
];

const fn row(pattern: &'static str, why: &'static str, source: &'static str) -> Row {
    let star = star(pattern.as_bytes());
    Row {
        pattern,
        why,
        source,
        star,
    }
}

const fn star(pattern: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < pattern.len() {
        if pattern[at] == b'*' {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_reached_and_explained() {
        for row in ROWS {
            assert!(row.pattern.matches('*').count() <= 1, "{row:?}");
            for filling in ["", "X", "PRELOAD"] {
                let name = row.pattern.replace('*', filling);
                assert!(row.matches(&name), "{row:?}");
                assert!(find(&name).is_some(), "{row:?}");
            }
            assert_eq!(
                find(&row.pattern.replace('*', "zz")),
                Some(row),
                "another row is before it"
            );
            assert!(
                !row.source.is_empty() && !row.why.ends_with('.') && !row.why.is_empty(),
                "{row:?}"
            );
        }
    }

    #[test]
    fn finds_the_names_of_attacks() {
        for name in [
            "LD_PRELOAD",
            "BASH_FUNC_ls%%",
            "NODE_OPTIONS",
            "GIT_SSH_COMMAND",
            "HTTPS_PROXY",
            "https_proxy",
            "no_proxy",
            "REQUESTS_CA_BUNDLE",
            "AWS_CONFIG_FILE",
            "MICROSECRETS_BUCKET",
            "PERL5OPT",
            "ERL_OTP27_FLAGS",
            "ERL_FLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "LUA_INIT_5_4",
            "CORECLR_PROFILER_PATH_64",
            "SYSTEMD_PAGER",
        ] {
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn leaves_ordinary_names_alone() {
        for name in [
            "",
            "DB_URL",
            "PASSWORD",
            "API_KEY",
            "PATHOLOGY",
            "HOMEPAGE",
            "ENVIRONMENT",
            "GITHUB_TOKEN",
            "LDAP_URL",
            "PYTHONIC",
            "Path",
            "path",
            "DATABASE_PATH",
            "SHELLEY",
            "PROXY_PASSWORD",
            "CA_BUNDLE",
            "NODE_ENV",
            "NPM_TOKEN",
            "PGPASSWORD",
            "CARGO_REGISTRY_TOKEN",
            "GOOGLE_API_KEY",
            "TF_VAR_password",
            "DOTNET_ENVIRONMENT",
            "DOCKER_PASSWORD",
            "ERL_COOKIE",
            "TERM",
            "LANG",
            "TZ",
        ] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn covers_what_sudo_removes() {
        const REMOVED: &str = "\
            IFS CDPATH LOCALDOMAIN RES_OPTIONS HOSTALIASES NLSPATH PATH_LOCALE LD_X _RLDX SHLIB_PATH LDR_X \
            LIBPATH AUTHSTATE DYLD_X KRB5_CONFIGX KRB5_KTNAME VAR_ACE USR_ACE DLC_ACE TERMINFO TERMINFO_DIRS \
            TERMPATH TERMCAP ENV BASH_ENV PS4 GLOBIGNORE BASHOPTS SHELLOPTS JAVA_TOOL_OPTIONS _JAVA_OPTIONS \
            CLASSPATH PERLIO_DEBUG PERLLIB PERL5LIB PERL5OPT PERL5DB FPATH NULLCMD READNULLCMD ZDOTDIR TMPPREFIX \
            PYTHONHOME PYTHONPATH PYTHONINSPECT PYTHONUSERBASE PYTHONSTARTUP RUBYLIB RUBYOPT NODE_OPTIONS \
            NODE_PATH GIT_SSH_COMMAND GIT_CONFIG_X GCONV_PATH";
        for name in REMOVED.split_whitespace() {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
