const WIDTH = 110;

/** JSON as this repository's formatter writes it: objects one key a line, lists of scalars on one line if they fit. */
export function printJson(value: unknown, indent = '', prefix = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const line = `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
    const fits = indent.length + prefix + line.length < WIDTH;
    if (value.every((item) => typeof item !== 'object' || item === null) && fits) return line;
    return `[\n${value.map((item) => `${inner}${printJson(item, inner)}`).join(',\n')}\n${indent}]`;
  }
  const members = Object.entries(value).map(([key, member]) => {
    const name = `${JSON.stringify(key)}: `;
    return `${inner}${name}${printJson(member, inner, name.length)}`;
  });
  return members.length === 0 ? '{}' : `{\n${members.join(',\n')}\n${indent}}`;
}
