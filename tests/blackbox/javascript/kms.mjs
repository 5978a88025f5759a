// Drives AWS's JavaScript clients against the server that the environment names, and says what it saw as JSON on standard output.
// `node kms.mjs TASK`, the task's parameters as JSON on standard input. Credentials, endpoints and Region are read by the clients themselves.

import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { buildClient, CommitmentPolicy, KmsKeyringNode } from '@aws-crypto/client-node'
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  KMS,
  NotFoundException,
  RotateKeyOnDemandCommand,
  paginateListAliases,
  paginateListKeys,
} from '@aws-sdk/client-kms'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'

// The aggregated client, which is what the Encryption SDK asks for; `send` is the same on both.
const kms = new KMS({ maxAttempts: 1 })
const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)

// The Encryption SDK makes its own clients, one for each Region, from this.
const clientProvider = () => kms

const base64 = (bytes) => Buffer.from(bytes).toString('base64')

const tasks = {
  async identity() {
    const { Account, Arn } = await new STSClient({}).send(new GetCallerIdentityCommand({}))
    return { Account, Arn }
  },

  async lifeOfAKey({ alias }) {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'made in JavaScript', Tags: [{ TagKey: 'a', TagValue: 'b' }] }))
    await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: KeyMetadata.KeyId }))
    const Plaintext = randomBytes(100)
    const EncryptionContext = { purpose: 'javascript' }
    const sealed = await kms.send(new EncryptCommand({ KeyId: alias, Plaintext, EncryptionContext }))
    await kms.send(new RotateKeyOnDemandCommand({ KeyId: KeyMetadata.KeyId }))
    const opened = await kms.send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob, EncryptionContext }))
    const dataKey = await kms.send(new GenerateDataKeyCommand({ KeyId: alias, KeySpec: 'AES_256' }))
    const described = await kms.send(new DescribeKeyCommand({ KeyId: alias }))
    return {
      arn: KeyMetadata.Arn,
      created: KeyMetadata.CreationDate instanceof Date,
      same: Buffer.compare(Plaintext, Buffer.from(opened.Plaintext)) === 0,
      dataKeyBytes: dataKey.Plaintext.length,
      described: described.KeyMetadata.Arn,
      rotated: described.KeyMetadata.CurrentKeyMaterialId !== KeyMetadata.CurrentKeyMaterialId,
    }
  },

  async pages() {
    const keys = new Set()
    for await (const page of paginateListKeys({ client: kms, pageSize: 2 }, {})) page.Keys.forEach((key) => keys.add(key.KeyArn))
    const aliases = []
    for await (const page of paginateListAliases({ client: kms, pageSize: 2 }, {})) aliases.push(...page.Aliases.map((alias) => alias.AliasName))
    return { keys: [...keys], aliases }
  },

  async refusal({ keyId }) {
    try {
      await kms.send(new DescribeKeyCommand({ KeyId: keyId }))
      return null
    } catch (error) {
      const { name, message, $metadata } = error
      return { name, message, status: $metadata.httpStatusCode, isNotFound: error instanceof NotFoundException, requestId: $metadata.requestId }
    }
  },

  async sealMessage({ generatorKeyId, message, context }) {
    const keyring = new KmsKeyringNode({ generatorKeyId, clientProvider })
    const { result } = await encrypt(keyring, Buffer.from(message, 'base64'), { encryptionContext: context })
    return { sealed: base64(result) }
  },

  async openMessage({ keyIds, sealed }) {
    const keyring = new KmsKeyringNode({ keyIds, clientProvider })
    const { plaintext, messageHeader } = await decrypt(keyring, Buffer.from(sealed, 'base64'))
    return { message: base64(plaintext), context: messageHeader.encryptionContext }
  },
}

process.stdin.setEncoding('utf8')
let input = ''
process.stdin.on('data', (chunk) => (input += chunk))
await once(process.stdin, 'end')
process.stdout.write(JSON.stringify(await tasks[process.argv[2]](JSON.parse(input))))
