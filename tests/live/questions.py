#!/usr/bin/env python3
"""Asks a real AWS account what no emulator can answer, and prints the answers. For a person with an account.

    python3 tests/live/questions.py --region eu-west-1 [--role-arn ARN] [--keep]

Needs Python 3, boto3 (pip install boto3) and credentials of somebody who may create a bucket, two KMS keys and, unless
--role-arn names one to assume, an IAM role. Everything it makes is named microsecrets-live-<random> and is removed at the
end; keys are scheduled for deletion in 7 days, which costs nothing. It reads and writes nothing else.

Each answer says what Microsecrets expects, and where the code and its strict fake say so: an answer that is not "as
expected" is worth an issue.
"""

import argparse
import contextlib
import json
import secrets
import sys
import time

import boto3
from botocore.exceptions import ClientError

ANSWERS = []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--region", required=True)
    parser.add_argument("--role-arn", help="a role to assume instead of one that is made; it must trust the caller and have no rights")
    parser.add_argument("--keep", action="store_true", help="leave what was made, to look at it")
    options = parser.parse_args()
    session = boto3.Session(region_name=options.region)
    with contextlib.ExitStack() as stack:
        world = World(session, options, stack)
        for question in (
            etags_of_equal_bytes,
            key_id_condition_with_arn,
            if_match_on_a_missing_key,
            authorisation_before_condition,
            acl_on_an_enforced_bucket,
            aws_s3_key_with_put_object_only,
            our_bucket_policy_is_accepted,
            copies_are_stopped,
        ):
            try:
                question(world)
            except ClientError as error:
                answer(question.__doc__, f"could not be asked: {code(error)}", "an answer", False)
    as_expected = sum(good for *_, good in ANSWERS)
    print(f"\n{as_expected} of {len(ANSWERS)} answers as expected")
    sys.exit(as_expected != len(ANSWERS))


class World:
    """A bucket, a key, and somebody who may do only what a question lets them."""

    def __init__(self, session, options, stack):
        self.session, self.region = session, options.region
        self.s3, self.kms, self.iam = session.client("s3"), session.client("kms"), session.client("iam")
        self.account = session.client("sts").get_caller_identity()["Account"]
        name = f"microsecrets-live-{secrets.token_hex(6)}"
        self.bucket, self.prefix = name, "services/live/"
        place = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.s3.create_bucket(Bucket=name, **place)
        if not options.keep:
            stack.callback(self.remove_bucket)
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        self.key = self.kms.create_key(Description=name)["KeyMetadata"]["Arn"]
        if not options.keep:
            stack.callback(self.kms.schedule_key_deletion, KeyId=self.key, PendingWindowInDays=7)
        self.role_arn = options.role_arn or self.make_role(name, stack, options.keep)
        self.role = self.role_arn.rsplit("/", 1)[-1]

    def make_role(self, name, stack, keep):
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{self.account}:root"}, "Action": "sts:AssumeRole"}]}
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        if not keep:
            stack.callback(self.iam.delete_role, RoleName=name)
            stack.callback(self.forget_rights, name)
        time.sleep(15)  # IAM is eventually consistent
        return arn

    def forget_rights(self, role):
        for name in self.iam.list_role_policies(RoleName=role)["PolicyNames"]:
            self.iam.delete_role_policy(RoleName=role, PolicyName=name)

    def somebody(self, *statements):
        """S3 as the role, with exactly these rights."""
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
        self.iam.put_role_policy(RoleName=self.role, PolicyName="question", PolicyDocument=json.dumps(policy))
        time.sleep(15)
        made = self.session.client("sts").assume_role(RoleArn=self.role_arn, RoleSessionName="question")["Credentials"]
        return boto3.Session(
            aws_access_key_id=made["AccessKeyId"],
            aws_secret_access_key=made["SecretAccessKey"],
            aws_session_token=made["SessionToken"],
            region_name=self.region,
        ).client("s3")

    def objects(self, pattern="*"):
        return f"arn:aws:s3:::{self.bucket}/{self.prefix}{pattern}"

    def put(self, client, key, body=b"{}", **more):
        return client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body, **more)

    def under_key(self):
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key, "BucketKeyEnabled": False}

    def remove_bucket(self):
        with contextlib.suppress(ClientError):
            self.s3.delete_bucket_policy(Bucket=self.bucket)
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for held in page.get("Versions", []) + page.get("DeleteMarkers", []):
                self.s3.delete_object(Bucket=self.bucket, Key=held["Key"], VersionId=held["VersionId"])
        self.s3.delete_bucket(Bucket=self.bucket)


def code(error):
    return error.response["Error"]["Code"]


def said(call, *arguments, **more):
    """The error code of a call, or `ok`."""
    try:
        call(*arguments, **more)
    except ClientError as error:
        return code(error)
    return "ok"


def answer(question, found, expected, good):
    ANSWERS.append((question, found, expected, good))
    print(f"{'as expected' if good else 'NOT AS EXPECTED'}: {question}\n    found: {found}\n    expected: {expected}")


def etags_of_equal_bytes(world):
    """Do equal bytes under SSE-KMS have different ETags?"""
    etags = {world.put(world.s3, "etag", b"same", **world.under_key())["ETag"] for _ in range(5)}
    answer(etags_of_equal_bytes.__doc__, f"{len(etags)} of 5 differ", "5: a loser may delete its own bytes by ETag", len(etags) == 5)


def key_id_condition_with_arn(world):
    """Does the condition s3:x-amz-server-side-encryption-aws-kms-key-id see the ARN when the ARN is sent, and the bare id when that is?"""
    key = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    use = {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": world.key}
    client = world.somebody({"Action": "s3:PutObject", "Resource": world.objects(), "Condition": {"StringEquals": {key: world.key}}}, use)
    by_arn = said(world.put, client, "arn", **world.under_key())
    by_id = said(world.put, client, "id", **{**world.under_key(), "SSEKMSKeyId": world.key.rsplit("/", 1)[-1]})
    answer(key_id_condition_with_arn.__doc__, f"ARN: {by_arn}, id: {by_id}", "ARN: ok, so the ARN is what we send", by_arn == "ok")


def if_match_on_a_missing_key(world):
    """What is If-Match on a missing key to who may not list: 404, 403 or 412?"""
    client = world.somebody(
        {"Action": ["s3:PutObject", "s3:GetObject"], "Resource": world.objects()},
        {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": world.key},
    )
    found = said(world.put, client, "missing", IfMatch='"00000000000000000000000000000000"', **world.under_key())
    known = ("NoSuchKey", "PreconditionFailed", "AccessDenied")
    answer(if_match_on_a_missing_key.__doc__, found, f"one of {', '.join(known)}: a writer lives with each", found in known)


def authorisation_before_condition(world):
    """Is who may not put told 403 also where the condition fails?"""
    world.put(world.s3, "there", **world.under_key())
    client = world.somebody({"Action": "s3:GetObject", "Resource": world.objects()})
    without_put = said(world.put, client, "there", IfNoneMatch="*", **world.under_key())
    client = world.somebody({"Action": ["s3:GetObject", "s3:PutObject"], "Resource": world.objects()})
    without_key = said(world.put, client, "there", IfNoneMatch="*", **world.under_key())
    answer(
        authorisation_before_condition.__doc__,
        f"without s3:PutObject: {without_put}; without kms:GenerateDataKey: {without_key}",
        "AccessDenied for the first: `doctor` may take 412 for a right; the second tells what 412 says about the key",
        without_put == "AccessDenied",
    )


def acl_on_an_enforced_bucket(world):
    """Does a bucket that enforces ownership refuse ACL=private, as 0.3.4 sends it?"""
    found = said(world.put, world.s3, "acl", ACL="private", **world.under_key())
    refused = "AccessControlListNotSupported"
    answer(acl_on_an_enforced_bucket.__doc__, found, f"{refused}: so ownership is left alone in a migration", found == refused)


def aws_s3_key_with_put_object_only(world):
    """Can somebody with s3:PutObject alone put an object under aws/s3?"""
    client = world.somebody({"Action": "s3:PutObject", "Resource": world.objects()})
    found = said(world.put, client, "forged", ServerSideEncryption="aws:kms")
    answer(aws_s3_key_with_put_object_only.__doc__, found, "ok: so a reader that pins no key believes too much", found == "ok")


def our_bucket_policy_is_accepted(world):
    """Is the policy that `microsecrets policy --bucket-policy` prints accepted, and does it stop writes without conditions?"""
    import subprocess

    command = ["microsecrets", "policy", "--bucket-policy", "-b", world.bucket, "--account", world.account, "-r", world.region]
    policy = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    world.s3.put_bucket_policy(Bucket=world.bucket, Policy=policy)
    time.sleep(5)
    without = said(world.put, world.s3, "log/environment/00000001", **world.under_key())
    first = said(world.put, world.s3, "log/environment/00000001", IfNoneMatch="*", **world.under_key())
    upload = world.s3.create_multipart_upload(Bucket=world.bucket, Key=world.prefix + "files/x/y", **world.under_key())
    part = said(
        world.s3.upload_part,
        Bucket=world.bucket, Key=world.prefix + "files/x/y", UploadId=upload["UploadId"], PartNumber=1, Body=b"x",
    )
    world.s3.abort_multipart_upload(Bucket=world.bucket, Key=world.prefix + "files/x/y", UploadId=upload["UploadId"])
    found = f"without: {without}, with: {first}, a part: {part}"
    good = (without, first, part) == ("AccessDenied", "ok", "ok")
    answer(our_bucket_policy_is_accepted.__doc__, found, "without: AccessDenied, with: ok, a part: ok", good)


def copies_are_stopped(world):
    """Does the policy stop CopyObject, also with a condition?"""
    source = {"Bucket": world.bucket, "Key": world.prefix + "there"}
    found = said(
        world.s3.copy_object,
        Bucket=world.bucket, Key=world.prefix + "files/x/copy", CopySource=source, IfNoneMatch="*", **world.under_key(),
    )
    answer(copies_are_stopped.__doc__, found, "AccessDenied", found == "AccessDenied")


if __name__ == "__main__":
    main()
