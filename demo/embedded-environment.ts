/** Variables that name somebody's own servers; the demo never touches those. */
const NAMES_A_SERVER =
  /^(DATABASE_URL|PG(HOST|HOSTADDR|PORT|DATABASE|USER|PASSWORD|PASSFILE|SERVICE|SERVICEFILE)|TEMPORAL_.*)$/;

/** The environment without what would lead to a server that is not this directory's own; says what it left out. */
export function ofEmbeddedServers(env: NodeJS.ProcessEnv, say: (line: string) => void): NodeJS.ProcessEnv {
  const left = Object.keys(env).filter((name) => NAMES_A_SERVER.test(name));
  if (left.length > 0) say(`The demo uses its own servers and leaves alone what ${left.join(', ')} names.`);
  return Object.fromEntries(Object.entries(env).filter(([name]) => !left.includes(name)));
}
