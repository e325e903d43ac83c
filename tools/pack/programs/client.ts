// What a user of @drift/client alone meets first: a server that is not there, told apart by its code.
import { rejects } from 'node:assert'
import { connect } from '@drift/client'

await rejects(connect('http://127.0.0.1:1', { timeoutMs: 5_000 }), {
  name: 'ClientError',
  code: 'DRIFT_UNREACHABLE',
})
console.log('client works')
