import Table from 'cli-table3';

/** A table without colours; cells are one line each, the last column clipped to the width of a terminal. */
export function textTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => String(cell).replaceAll(/\s+/g, ' ')));
  const widths = head.map((name, at) => Math.max(name.length, ...cells.map((row) => row[at]?.length ?? 0)));
  const fixed = widths.slice(0, -1).reduce((sum, width) => sum + width + 3, 4);
  const room = Math.max(24, (process.stdout.columns ?? Number.POSITIVE_INFINITY) - fixed);
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of cells) table.push([...row.slice(0, -1), clip(row.at(-1) ?? '', room)]);
  return table.toString();
}

function clip(text: string, room: number): string {
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}
