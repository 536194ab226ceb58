import { afterAll } from 'vitest';
import { dropRemainingDatabases } from './create-database.ts';

afterAll(dropRemainingDatabases);
