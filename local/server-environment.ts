/** What PostgreSQL's own programs need of the environment: where to look, never a password or another secret. */
const KEPT =
  /^(?:PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|TMP|TEMP|LD_LIBRARY_PATH|DYLD_\w+|SSL_CERT_\w+|KRB5\w*|SYSTEMROOT)$/i;

/** The environment for PostgreSQL's own programs: little of the caller's, in the C locale. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => KEPT.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}
