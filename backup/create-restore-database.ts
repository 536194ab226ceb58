import type pg from 'pg';
import type { BackupReceipt } from './backup-receipt.ts';

/**
 * Creates an empty database with the encoding and locale that the dumped one had. Where this server does not
 * have that locale, the C locale stands in: rows are the same, sort orders are not.
 * @returns a remark for the report, empty when the locale is the same
 */
export async function createRestoreDatabase(
  admin: pg.Client,
  name: string,
  receipt: BackupReceipt,
): Promise<string> {
  const { locale } = receipt;
  const create = `create database ${admin.escapeIdentifier(name)} template template0 encoding ${admin.escapeLiteral(locale.encoding)}`;
  try {
    await admin.query(`${create} ${localeClause(admin, receipt)}`);
    return '';
  } catch (error) {
    // Only a locale that is not there is made up for; any other refusal is the caller's to see.
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== '42809' && code !== '22023' && code !== '42704' && code !== 'XX000') throw error;
    await admin.query(`${create} lc_collate 'C' lc_ctype 'C'`);
    return `locale ${locale.name ?? locale.collate} is not installed there, C stood in`;
  }
}

function localeClause(admin: pg.Client, { locale }: BackupReceipt): string {
  const clauses = [
    `lc_collate ${admin.escapeLiteral(locale.collate)}`,
    `lc_ctype ${admin.escapeLiteral(locale.ctype)}`,
  ];
  if (locale.provider === 'i' && locale.name !== null) {
    clauses.push('locale_provider icu', `icu_locale ${admin.escapeLiteral(locale.name)}`);
  }
  if (locale.provider === 'b' && locale.name !== null) {
    clauses.push('locale_provider builtin', `builtin_locale ${admin.escapeLiteral(locale.name)}`);
  }
  return clauses.join(' ');
}

/** Creates the roles that are missing, without a way to log in. For throw-away clusters only. */
export async function createMissingRoles(admin: pg.Client, receipt: BackupReceipt): Promise<void> {
  const there = await listRoles(admin);
  for (const role of receipt.roles.filter(({ name }) => !there.has(name))) {
    const attributes = role.superuser ? 'nologin superuser' : 'nologin';
    await admin.query(`create role ${admin.escapeIdentifier(role.name)} ${attributes}`);
  }
}

export async function listRoles(admin: pg.Client): Promise<Set<string>> {
  const { rows } = await admin.query<{ rolname: string }>('select rolname from pg_catalog.pg_roles');
  return new Set(rows.map((row) => row.rolname));
}
