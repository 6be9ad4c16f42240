#!/usr/bin/env node
// licences.mjs PROGRAM LIBRARY DIRECTORY: writes the licences of everything that an archive contains into DIRECTORY.
//
// ROUNDHOUSE.txt: the program's own. CRATES.txt: those of the crates in it, and of the C code that they bring along.
// CLICKHOUSE.txt: those of the engine library, which knows them itself (system.licenses).

import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const [program, library, directory] = process.argv.slice(2);
const IS_LICENCE = /^(licen[sc]e|copying|copyright|notice|unlicense)/i;

/** Returns the packages that are linked into the program: not those that only the build or the tests use. */
function linkedPackages() {
  const host = /^host: (.*)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))[1];
  const options = ['metadata', '--format-version', '1', '--locked', '--filter-platform', host];
  const metadata = JSON.parse(execFileSync('cargo', options, { encoding: 'utf8', maxBuffer: 1 << 28 }));
  const nodes = new Map(metadata.resolve.nodes.map(node => [node.id, node]));
  const ours = new Set(metadata.workspace_members);
  const found = new Set();
  const waiting = [...ours];
  while (waiting.length > 0) {
    const id = waiting.pop();
    if (found.has(id)) continue;
    found.add(id);
    const linked = nodes.get(id).deps.filter(dep => dep.dep_kinds.some(({ kind }) => kind === null));
    waiting.push(...linked.map(dep => dep.pkg));
  }
  return metadata.packages.filter(({ id }) => found.has(id) && !ours.has(id));
}

/** Returns the licence files below a directory. Crates named -sys have the sources of C libraries in directories. */
function licenceFiles(root, depth) {
  return readdirSync(root, { withFileTypes: true }).flatMap(entry => {
    const path = join(root, entry.name);
    if (entry.isDirectory()) return depth > 0 ? licenceFiles(path, depth - 1) : [];
    return IS_LICENCE.test(entry.name) ? [path] : [];
  });
}

/** Joins sections [{ name, text }] into one text. The same text is written once, with the names of all that it applies to. */
function join_sections(sections) {
  const names = new Map();
  for (const { name, text } of sections) {
    names.set(text, [...(names.get(text) ?? []), name]);
  }
  const line = '='.repeat(80);
  return [...names].map(([text, names]) => `${line}\n${names.join('\n')}\n${line}\n\n${text.trim()}\n`).join('\n');
}

function ofCrates() {
  return linkedPackages().flatMap(({ name, version, license, authors, manifest_path }) => {
    const root = dirname(manifest_path);
    const title = `${name} ${version} (${license ?? 'see below'})`;
    const files = licenceFiles(root, name.endsWith('-sys') ? 3 : 0);
    if (files.length === 0) {
      return [{ name: title, text: `The crate has no licence file. Its authors: ${authors.join(', ') || 'not named'}` }];
    }
    return files.map(path => ({
      name: path.slice(root.length + 1).includes('/') ? `${title}: ${path.slice(root.length + 1)}` : title,
      text: readFileSync(path, 'utf8'),
    }));
  });
}

/** Asks the engine library for the licences of its parts. */
async function ofClickHouse() {
  const data = mkdtempSync(join(tmpdir(), 'roundhouse-licences-'));
  const options = ['--log', 'error', 'embedded', 'clickhouse', '--supervised', '--listen', '127.0.0.1:0'];
  const child = spawn(program, [...options, '--data-dir', join(data, 'clickhouse'), '--clickhouse-library', library], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise(resolve => child.on('exit', resolve));
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { ready, failed } = JSON.parse(line);
      if (!ready) throw new Error(failed?.reason ?? line);
      const sql = 'SELECT library_name AS name, license_type AS type, license_text AS text FROM system.licenses FORMAT JSONEachRow';
      const answer = await fetch(`http://${ready.address}/`, { method: 'POST', body: sql });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      const rows = text.trim().split('\n').map(row => JSON.parse(row));
      return rows.map(({ name, type, text }) => ({ name: `${name} (${type})`, text }));
    }
    throw new Error('the embedded ClickHouse ended before it was ready');
  } finally {
    // The part stops when its standard input closes.
    child.stdin.end();
    await ended;
    rmSync(data, { recursive: true });
  }
}

mkdirSync(directory, { recursive: true });
copyFileSync('LICENSE', join(directory, 'ROUNDHOUSE.txt'));
const clickhouse = [{ name: 'libchdb.so: chDB and ClickHouse (Apache-2.0)', text: readFileSync('LICENSE', 'utf8') }];
writeFileSync(join(directory, 'CRATES.txt'), join_sections(ofCrates()));
writeFileSync(join(directory, 'CLICKHOUSE.txt'), join_sections([...clickhouse, ...(await ofClickHouse())]));
