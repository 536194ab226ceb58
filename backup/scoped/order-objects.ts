import type pg from 'pg';
import type { DescribedObject } from './describe-objects.ts';

/**
 * Puts objects behind what they depend on (by `pg_depend`), keeping their order otherwise.
 * @returns `late`: views that need a primary key (GROUP BY on it) and what is built on them; these come after
 * the constraints
 */
export async function orderObjects(
  client: pg.Client,
  objects: readonly DescribedObject[],
): Promise<{ early: DescribedObject[]; late: DescribedObject[] }> {
  const byKey = new Map(objects.map((object) => [`${object.catalog}:${object.oid}`, object]));
  const needs = new Map<DescribedObject, Set<DescribedObject>>();
  const late = new Set<DescribedObject>();
  const { rows } = await client.query<{ dependent: string; needed: string | null }>(DEPENDENCIES);
  for (const row of rows) {
    const dependent = byKey.get(row.dependent);
    if (dependent === undefined) continue;
    if (row.needed === null) late.add(dependent);
    const needed = row.needed === null ? undefined : byKey.get(row.needed);
    if (needed === undefined || needed === dependent) continue;
    needs.set(dependent, (needs.get(dependent) ?? new Set()).add(needed));
  }
  const ordered: DescribedObject[] = [];
  const visited = new Set<DescribedObject>();
  const visit = (object: DescribedObject) => {
    if (visited.has(object)) return;
    visited.add(object);
    for (const needed of needs.get(object) ?? []) {
      visit(needed);
      if (late.has(needed)) late.add(object);
    }
    ordered.push(object);
  };
  for (const object of objects) visit(object);
  return {
    early: ordered.filter((object) => !late.has(object)),
    late: ordered.filter((object) => late.has(object)),
  };
}

/**
 * Pairs of `catalog:oid`. What is no object of its own here stands for the one it belongs to: a view's rule, a
 * row or array type, a generated column's expression, a domain's constraint. `needed` is null for a key.
 */
const DEPENDENCIES = `
  with belongs as (
    select 'pg_rewrite'::regclass::oid as classid, oid as objid, 'pg_class:' || ev_class as key from pg_rewrite where rulename = '_RETURN'
    union all
    select 'pg_type'::regclass, t.oid, 'pg_class:' || t.typrelid
    from pg_type t join pg_class c on c.oid = t.typrelid where c.relkind <> 'c'
    union all
    select 'pg_class'::regclass, c.oid, 'pg_type:' || c.reltype from pg_class c where c.relkind = 'c'
    union all
    select 'pg_type'::regclass, a.oid, case when c.relkind <> 'c' then 'pg_class:' || c.oid else 'pg_type:' || t.oid end
    from pg_type a join pg_type t on t.typarray = a.oid left join pg_class c on c.oid = t.typrelid
    union all
    select 'pg_attrdef'::regclass, x.oid, 'pg_class:' || x.adrelid
    from pg_attrdef x join pg_attribute a on a.attrelid = x.adrelid and a.attnum = x.adnum where a.attgenerated <> ''
    union all
    select 'pg_constraint'::regclass, oid, 'pg_type:' || contypid from pg_constraint where contypid <> 0
    union all
    select 'pg_constraint'::regclass, oid, null from pg_constraint where contype in ('p', 'u')
  )
  select
    case when own.classid is null then d.classid::regclass::text || ':' || d.objid else own.key end as dependent,
    case when ref.classid is null then d.refclassid::regclass::text || ':' || d.refobjid else ref.key end as needed
  from pg_depend d
  left join belongs own on own.classid = d.classid and own.objid = d.objid
  left join belongs ref on ref.classid = d.refclassid and ref.objid = d.refobjid
  where d.objid >= 16384
    and (ref.classid is null or ref.key is not null or d.classid = 'pg_rewrite'::regclass or d.classid = 'pg_proc'::regclass)`;
