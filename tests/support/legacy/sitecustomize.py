"""Points boto3 at a test's server: 0.3.4 has no option for it, and its boto3 reads none from the environment."""

import os

import boto3.session

client = boto3.session.Session.client


def client_there(self, *args, **kwargs):
    kwargs["endpoint_url"] = os.environ["MICROSECRETS_ENDPOINT"]
    return client(self, *args, **kwargs)


# Resources are made of clients.
boto3.session.Session.client = client_there
