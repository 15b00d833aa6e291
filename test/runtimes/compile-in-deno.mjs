/** Run by Deno: compiles the shaders of a JSON file, and prints which were refused. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { compileAll } from './compile-shaders.mjs';

process.stdout.write(JSON.stringify(await compileAll(JSON.parse(readFileSync(process.argv[2], 'utf8')))));
